"""Bad papers, bad jobs, bad files and full disks through the whole command: a clear word, an exit code, no loop."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from chaos_kit import EXAM, TYPED, Scene, Service, later, until
from PIL import Image
from real_parts import need

from gradewatch.model import JobState, NewJob

pytestmark = pytest.mark.acceptance

RUBRIC = ("--rubric", str(EXAM / "rubric.yaml"))
# Encrypted under a password that nobody has: the check values fit none.
ENCRYPTED = b"/Encrypt << /Filter /Standard /V 1 /R 2 /O <%s> /U <%s> /P -4 >> /ID [<00> <00>] /Root" % (
    b"ab" * 32,
    b"ab" * 32,
)
PATIENT = {"TIMEOUTS__HEARTBEAT": "2500ms", "STORE__TIMEOUT": "1s"}
BAD = {
    "empty.pdf": "paper_empty",
    "corrupt.pdf": "paper_corrupt",
    "encrypted.pdf": "paper_encrypted",
    "tiny.png": "image_too_small",
}


def bad_papers(folder: Path) -> list[str]:
    good = TYPED[0].read_bytes()
    (folder / "empty.pdf").touch()
    (folder / "corrupt.pdf").write_bytes(good[:200] + os.urandom(500))
    (folder / "encrypted.pdf").write_bytes(good.replace(b"/Root", ENCRYPTED))
    Image.new("L", (1, 1)).save(folder / "tiny.png")
    return list(BAD)


async def test_bad_papers_fail_alone(scene: Scene) -> None:
    run = scene.start("run")
    done = await scene.run("submit", *bad_papers(scene.folder), *map(str, TYPED[:2]), *RUBRIC, "--wait", "--json")
    shown = json.loads(done.stdout)
    results = {r.name: r for r in await scene.store.papers(shown["id"])}
    assert {name: results[name].error.code for name in BAD} == BAD
    assert {r.status for r in results.values() if r.name not in BAD} == {"graded"}
    assert {r.times_written for r in results.values()} == {1}
    job = await scene.job(shown["id"])
    assert (job.state, job.attempt, job.progress_done) == (JobState.SUCCEEDED, 1, 6)
    assert all(len(result.error.message) > 20 for result in results.values() if result.error)
    assert not run.lines("job failed")
    assert await scene.story() == []


async def test_bad_jobs_do_not_hold_up_the_good_ones(scene: Scene) -> None:
    stranger, *wrong = await scene.store.submit(
        [
            NewJob(kind="print", payload={"anything": True}, priority=9),
            NewJob(kind="grade", payload={"papers": "all of them"}, priority=8),
            NewJob(kind="grade", payload={}, priority=8),
            NewJob(kind="grade", payload={"papers": [{"name": "x"}], "rubric": {"exam": 7}}, priority=8),
        ]
    )
    run = scene.start("run")
    await scene.workers(1)
    good = await scene.submit(2, papers=10)
    await scene.graded_once(good)
    for job in await scene.jobs(wrong):
        assert job.error is not None
        assert (job.state, job.attempt, job.error.code) == (JobState.FAILED, 1, "payload_invalid")
        assert len(run.lines("job failed", job=job.id)) == 1

    run.kill(signal.SIGTERM)
    await run.ended()
    left = await scene.job(stranger)
    await until(lambda: time.time() - left.run_at.timestamp() > 3.1, "it has waited too long for one of a known kind")
    done = await scene.run("watch", "--once", "--json", code=1, TIMEOUTS__SCHEDULE_TO_START="3s")
    assert json.loads(done.stdout)["results"] == [], "a job of a known kind would have been failed by now"
    assert await scene.job(stranger) == left
    assert (left.state, left.attempt, left.token) == (JobState.PENDING, 0, 0)
    assert await scene.story() == []


async def test_a_file_that_is_no_database(scene: Scene) -> None:
    other = scene.folder / "notes.db"
    other.write_text("These are somebody's notes, and no database at all.\n" * 100)
    before = other.read_bytes()
    for command in (["run"], ["worker"], ["watch"], ["doctor"], ["submit", str(TYPED[0]), *RUBRIC], ["jobs", "list"]):
        done = await scene.run(*command, code=2, STORE__URL=f"sqlite:///{other}")
        assert "not an SQLite database" in " ".join((done.stdout + done.stderr).split())
        assert "Traceback" not in done.stderr
    assert other.read_bytes() == before
    assert scene.processes() == []


@pytest.fixture
def small_disk(scene: Scene) -> Iterator[Path]:
    """A disk of a few megabytes."""
    folder = Path(tempfile.mkdtemp(prefix="gradewatch-disk-"))
    mount = ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(folder)]
    try:
        mounted = os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0
        need("A disk to fill", mounted, "run as root with CAP_SYS_ADMIN, so that a small one can be mounted")
        yield folder
    finally:
        for process in scene.processes():
            process.kill()
        subprocess.run(["umount", "--lazy", folder], capture_output=True, check=False)
        shutil.rmtree(folder, ignore_errors=True)


async def test_a_full_disk(scene: Scene, small_disk: Path) -> None:
    """Nothing is lost while it is full, and all goes on by itself once there is room."""
    await scene.move(small_disk)
    run = scene.start("run", **PATIENT)
    (session,) = await scene.workers(1)
    ids = await scene.submit(1, papers=200)
    await scene.half_way(ids[0])
    filler = small_disk / "filler"
    _fill(filler)
    await until(lambda: run.lines("finding", code="store_unreachable"), "the watch says so")
    refused = await scene.run("submit", str(TYPED[0]), *RUBRIC, code=2)
    assert "No space left" in refused.stderr or "disk is full" in refused.stderr
    assert "Traceback" not in refused.stderr
    filler.unlink()

    await scene.graded_once(ids)
    assert await scene.story() == []
    assert [s.id for s in await scene.store.sessions()] == [session.id]
    told = run.lines("store unreachable")
    assert any("disk is full" in line["error"] for line in told)
    assert len(told) < 20, "it does not fill the log as well"


def _fill(filler: Path) -> None:
    with filler.open("wb") as stream:
        try:
            while True:
                os.write(stream.fileno(), bytes(4096))
        except OSError:
            return


async def test_writes_that_fail(scene: Scene) -> None:
    """No file may grow any more, for a while: the store, being written to its end at each commit, is read-only then.

    The log cannot be written either; HTTP tells what the watch thinks."""
    run = scene.start("run", **PATIENT)
    (session,) = await scene.workers(1)
    ids = await scene.submit(1, papers=200)
    await scene.half_way(ids[0])
    processes = [process.pid for process in scene.processes()]
    assert len(processes) == 2
    for pid in processes:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    await until(lambda: _finding(run, "store_unreachable"), "the watch says so")
    await until(later(6.0), "it lasts for more than two heartbeat timeouts")
    for pid in processes:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    await scene.graded_once(ids)
    assert await scene.story() == []
    assert [s.id for s in await scene.store.sessions()] == [session.id]


async def _finding(run: Service, code: str) -> bool:
    _, body = await run.get("/api/findings")
    return f'"{code}"' in body


async def test_a_store_that_may_only_be_read(scene: Scene, request: pytest.FixtureRequest) -> None:
    root = os.geteuid() == 0  # who may write whatever the file's mode says
    if root:
        await scene.move(request.getfixturevalue("small_disk"))
    await scene.submit(1, papers=3)
    await scene.store.close()
    if root:
        subprocess.run(["mount", "-o", "remount,ro", scene.database.parent], check=True)
    else:
        scene.database.chmod(0o444)
        scene.database.parent.chmod(0o555)
    try:
        for command in (["submit", str(TYPED[0]), *RUBRIC], ["pause"]):
            done = await scene.run(*command, code=2)
            assert "Read-only file system" in done.stderr or "may not write" in done.stderr
            assert "Traceback" not in done.stderr
    finally:
        if not root:
            scene.database.parent.chmod(0o755)
