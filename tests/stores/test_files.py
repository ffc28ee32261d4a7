"""The file a fetched paper is read from."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from gradewatch.config import WorkerSettings
from gradewatch.errors import StoreUnavailable
from gradewatch.stores import files
from gradewatch.stores.files import Fetched, fetched
from gradewatch.worker.papers import open_paper

EXAM = Path(__file__).parents[2] / "examples" / "exam"

READER = """
import asyncio, subprocess, sys
from gradewatch.stores.files import fetched

async def download(to):
    await to.write(b"a student's paper")

async def main():
    async with fetched(download) as path:
        print(path.read_bytes() == b"a student's paper", subprocess.check_output(["cat", path]) == path.read_bytes())
        sys.stdout.flush()
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.skipif(not files._OPEN_FILES.exists(), reason="this system has no files without a name: it is not Linux")
def test_a_killed_process_leaves_no_paper_behind(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", READER], env={"TMPDIR": str(tmp_path)}, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True True\n", "it can be read, by other processes too"
        process.kill()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("nameless", [True, False])
async def test_it_is_there_while_it_is_read_and_gone_after(
    folder: Path, monkeypatch: pytest.MonkeyPatch, nameless: bool
) -> None:
    if not nameless:
        monkeypatch.setattr(files, "_OPEN_FILES", folder / "absent")

    async def download(to: Fetched) -> None:
        await to.write(b"first ")
        await to.write(b"second")
        assert to.sha256 == hashlib.sha256(b"first second").hexdigest()

    async with fetched(download) as path:
        assert path.read_bytes() == b"first second"
        assert path.stat().st_size == 12
        assert path.stat().st_mode & 0o077 == 0, "nobody else may read it"
    assert not path.exists()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["01-ada-moreno.pdf", "17-qing-zhao.png", "22-vera-kowalska.png"])
async def test_the_worker_can_read_it(folder: Path, name: str) -> None:
    content = (EXAM / "papers" / name).read_bytes()
    async with fetched(lambda to: to.write(content)) as path, open_paper(path, WorkerSettings()) as pages:
        assert [page.number async for page in pages][:1] == [1]


async def test_a_download_that_fails_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_OPEN_FILES", folder / "absent")

    async def download(to: Fetched) -> None:
        await to.write(b"half of it")
        raise StoreUnavailable("gone")

    with pytest.raises(StoreUnavailable, match="gone"):
        async with fetched(download):
            pass
    assert list(folder.iterdir()) == []


async def test_a_full_disk_is_an_outage_and_not_the_paper_s_fault() -> None:
    with open("/dev/full", "wb", buffering=0) as full, pytest.raises(StoreUnavailable, match="takes no more papers"):
        await Fetched(full).write(b"x")


async def test_a_folder_that_is_not_there_is_an_outage(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "absent"))
    with pytest.raises(StoreUnavailable, match="takes no more papers"):
        async with fetched(lambda _: pytest.fail("nothing to write to")):  # type: ignore[arg-type]
            pass
