"""SQLite: what can go wrong with the file, each as one of our own errors with a sentence that helps."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from backends import opened
from store_kit import Hands, ids, new

from gradewatch.errors import AccessDenied, SchemaMismatch, StoreUnavailable
from gradewatch.stores.sqlite import SqliteStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queue.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    async with opened(SqliteStore(path, timeout=0.5)) as handle:
        assert isinstance(handle, SqliteStore)
        yield handle


async def refusal(path: Path) -> Exception:
    """What opening the file is answered with."""
    store = SqliteStore(path, timeout=0.5)
    try:
        with pytest.raises((SchemaMismatch, StoreUnavailable, AccessDenied)) as at_open:
            await store.open()
        return at_open.value
    finally:
        await store.close()


@contextmanager
def write_locked(path: Path) -> Iterator[None]:
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        yield
        holder.execute("ROLLBACK")


# ---------------------------------------------------------------- the wrong file


async def test_an_absent_file_is_not_created_by_open(path: Path) -> None:
    error = await refusal(path)
    assert isinstance(error, SchemaMismatch)
    assert "gradewatch migrate" in str(error)
    assert list(path.parent.iterdir()) == []


async def test_an_absent_folder(path: Path) -> None:
    store = SqliteStore(path / "below" / "queue.db")
    with pytest.raises(StoreUnavailable, match="create it"):
        await store.migrate()


async def test_an_empty_file_has_no_tables(path: Path) -> None:
    path.touch()
    assert "no gradewatch tables" in str(await refusal(path))


@pytest.mark.parametrize("content", [b"marks,name\n" * 500, b"\x00" * 4096, b"SQLite format 3\x00" + b"\xff" * 4096])
async def test_a_file_that_is_no_database_is_refused_and_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    error = await refusal(path)
    assert isinstance(error, SchemaMismatch)
    store = SqliteStore(path)
    with pytest.raises(SchemaMismatch, match="not an SQLite database"):
        await store.migrate()
    assert path.read_bytes() == content


async def test_a_folder_in_place_of_the_file(path: Path) -> None:
    path.mkdir()
    error = await refusal(path)
    assert isinstance(error, StoreUnavailable)
    assert "is a folder" in str(error)
    with pytest.raises(StoreUnavailable, match="is a folder"):
        await SqliteStore(path).migrate()


async def test_another_applications_database_is_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as theirs:
        theirs.execute("CREATE TABLE jobs (id INTEGER PRIMARY KEY, status TEXT)")
    with pytest.raises(SchemaMismatch, match="another application: it has jobs"):
        await SqliteStore(path).migrate()
    with closing(sqlite3.connect(path)) as theirs:
        assert [row[0] for row in theirs.execute("SELECT name FROM sqlite_master")] == ["jobs"]


async def test_a_damaged_file(store: SqliteStore, path: Path) -> None:
    await store.submit([new(payload={"text": "x" * 500}) for _ in range(500)])
    await store.close()
    with path.open("r+b") as file:
        file.seek(40 * 4096)
        file.write(b"\xff" * (path.stat().st_size - 60 * 4096))
    async with opened(SqliteStore(path)) as damaged:
        with pytest.raises(StoreUnavailable, match="backup"):
            await damaged.jobs(limit=500)
        await damaged.check([])


def test_files_that_this_user_may_not_write() -> None:
    """Root may write everything, so that as root a child process becomes another user first."""
    folder = Path(tempfile.mkdtemp(prefix="gradewatch-readonly-"))
    try:
        asyncio.run(_migrated(folder / "queue.db"))
        (folder / "queue.db").chmod(0o444)
        folder.chmod(0o555)
        child = os.fork()
        if child == 0:
            os._exit(_refused(folder / "queue.db"))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


async def _migrated(path: Path) -> None:
    async with opened(SqliteStore(path)) as store:
        await store.submit([new()])


def _refused(path: Path) -> int:
    """In the child: 0 when opening and migrating are both refused for want of permission."""
    if os.geteuid() == 0:
        os.setuid(65534)

    async def main() -> int:
        store = SqliteStore(path, timeout=1)
        refused = 0
        for call in (store.open, store.migrate):
            try:
                await call()
            except AccessDenied as error:
                refused += "permission" in str(error)
        await store.close()
        return 0 if refused == 2 else 1

    try:
        return asyncio.run(main())
    except BaseException:  # noqa: BLE001 - the child must never return into pytest
        traceback.print_exc()
        return 2


# ---------------------------------------------------------------- schema


@pytest.mark.parametrize(("found", "said"), [("0", "gradewatch migrate"), ("99", "update gradewatch")])
async def test_an_older_or_newer_schema(store: SqliteStore, path: Path, found: str, said: str) -> None:
    with closing(sqlite3.connect(path)) as hand:
        hand.execute("UPDATE meta SET value = ? WHERE key = 'schema_version'", (found,))
        hand.commit()
    with pytest.raises(SchemaMismatch, match=said):
        await store.check([])
    assert said in str(await refusal(path))


async def test_a_dropped_index_is_reported_and_migrate_makes_it_again(store: SqliteStore, path: Path) -> None:
    with closing(sqlite3.connect(path)) as hand:
        hand.execute("DROP INDEX jobs_claim")
    assert (await store.check([])).missing_indexes == ("jobs_claim",)
    assert await store.migrate() == ["index jobs_claim"]
    assert (await store.check([])).missing_indexes == ()


async def test_a_dropped_table_or_trigger_is_a_mismatch(store: SqliteStore, path: Path) -> None:
    with closing(sqlite3.connect(path)) as hand:
        hand.execute("DROP TRIGGER jobs_counted_over")
    with pytest.raises(SchemaMismatch, match="jobs_counted_over"):
        await store.check([])
    with closing(sqlite3.connect(path)) as hand:
        hand.execute("DROP TABLE audit")
    with pytest.raises(SchemaMismatch, match="no such table"):
        await store.audit()


# ---------------------------------------------------------------- locked, full, gone


async def test_a_lock_held_beyond_the_deadline(store: SqliteStore, path: Path) -> None:
    await store.submit([new()])
    with write_locked(path):
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match="locked by another process"):
            await store.submit([new()])
        assert 0.4 < time.monotonic() - began < 1.5
        assert len(await store.jobs()) == 1, "reads never wait for writes"
    await store.submit([new()])
    assert len(await store.jobs()) == 2, "what was refused was not done behind the caller's back"


async def test_a_lock_held_for_less_than_the_deadline_is_waited_for(store: SqliteStore, path: Path) -> None:
    with write_locked(path):
        waiting = asyncio.create_task(store.submit([new()]))
        await asyncio.sleep(0.1)
    assert len(await waiting) == 1


async def test_a_full_database(store: SqliteStore) -> None:
    await store.submit([new()])
    pages = await store._writer.run(lambda c: c.execute("PRAGMA page_count").fetchone()[0])
    await store._writer.run(lambda c: c.execute(f"PRAGMA max_page_count = {pages}").fetchone())
    big = new(payload={"text": "x" * 100_000})
    with pytest.raises(StoreUnavailable, match="disk is full"):
        await store.submit([big])
    await store._writer.run(lambda c: c.execute("PRAGMA max_page_count = 1000000").fetchone())
    await store.submit([big])
    assert len(await store.jobs()) == 2


async def test_a_disk_that_takes_no_more(path: Path) -> None:
    """The system refuses to let the files grow, then lets them: what was acknowledged is all there, nothing else."""
    script = f"""
import asyncio, resource, signal
from gradewatch.errors import StoreUnavailable
from gradewatch.model import NewJob
from gradewatch.stores.sqlite import SqliteStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
async def main():
    store = SqliteStore({str(path)!r})
    await store.migrate()
    await store.open()
    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, resource.RLIM_INFINITY))
    job, kept, refused = NewJob("grade", {{"text": "x" * 5000}}), 0, 0
    while refused < 3:
        try:
            kept += len(await store.submit([job]))
        except StoreUnavailable as error:
            assert "disk" in str(error), error
            refused += 1
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    kept += len(await store.submit([job]))
    await store.close()
    print(kept)
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", script], timeout=30, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    async with opened(SqliteStore(path)) as store:
        assert len(await store.jobs(limit=1000)) == int(done.stdout) > 1


async def test_a_file_removed_under_our_feet(store: SqliteStore, path: Path, tmp_path: Path) -> None:
    [job_id] = await store.submit([new()])
    aside = tmp_path / "aside"
    aside.mkdir()
    for part in tmp_path.glob("queue.db*"):
        part.rename(aside / part.name)
    for call in (store.submit([new()]), store.check([]), store.jobs()):
        with pytest.raises(StoreUnavailable, match="removed while it was in use"):
            await call
    assert not path.exists()
    for part in aside.iterdir():
        part.rename(tmp_path / part.name)
    assert ids(await store.jobs()) == [job_id]
    await store.submit([new()])


async def test_a_file_replaced_under_our_feet(store: SqliteStore, path: Path, tmp_path: Path) -> None:
    await store.submit([new()])
    async with opened(SqliteStore(tmp_path / "backup.db")) as backup:
        [restored] = await backup.submit([new()])
    for part in tmp_path.glob("queue.db*"):
        part.unlink()
    (tmp_path / "backup.db").rename(path)
    for call in (store.submit, store.check):
        with pytest.raises(StoreUnavailable, match="replaced by another"):
            await call([])
    assert ids(await store.jobs()) == [restored]
    await (await Hands.open(store)).one()


async def test_a_read_that_takes_too_long_is_broken_off(store: SqliteStore) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    began = time.monotonic()
    with pytest.raises(StoreUnavailable, match="broken off"):
        await store._reader.run(lambda c: c.execute(endless).fetchone())
    assert time.monotonic() - began < 1.5
    assert await store.jobs() == []


async def test_papers_that_cannot_be_kept(store: SqliteStore, path: Path, tmp_path: Path) -> None:
    source = tmp_path / "exam.pdf"
    source.write_bytes(b"%PDF")
    path.with_name("queue.db.papers").write_text("a file where the folder should be")
    with pytest.raises(StoreUnavailable, match="cannot be used"):
        await store.put(source, "exam.pdf")
