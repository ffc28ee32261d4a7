"""SQLite's two lanes: group commit, deadlines, cancelled callers, several event loops."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from backends import opened
from store_kit import new, new_session
from test_sqlite_faults import write_locked

from gradewatch.errors import AccessDenied, Conflict, StoreUnavailable
from gradewatch.model import Claimed
from gradewatch.stores.sqlite import SqliteStore, lane, sessions


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queue.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    async with opened(SqliteStore(path, timeout=5)) as handle:
        assert isinstance(handle, SqliteStore)
        yield handle


async def settle() -> None:
    """Let tasks that were just made reach the lane's queue."""
    for _ in range(3):
        await asyncio.sleep(0)


async def test_writes_that_wait_share_one_commit(store: SqliteStore, path: Path) -> None:
    before = await store.change_token()
    with write_locked(path):
        waiting = [asyncio.create_task(store.submit([new()])) for _ in range(50)]
        await settle()
    await asyncio.gather(*waiting)
    after = await store.change_token()
    assert isinstance(before, int)
    assert isinstance(after, int)
    assert after - before <= 3


async def test_one_failing_write_leaves_its_group_untouched(store: SqliteStore, path: Path) -> None:
    lost = Claimed("no-such-job", 1)
    with write_locked(path):
        calls = [store.submit([new()]), store.progress(lost, 1, 1), store.submit([new()]), store._writer.run(_half)]
        waiting = [asyncio.create_task(call) for call in calls]
        await settle()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(answers[1], Conflict)
    assert isinstance(answers[3], ZeroDivisionError)
    assert len(await store.jobs()) == 2
    assert await store.sessions() == [], "what a failing write had done is undone"


def _half(connection: sqlite3.Connection) -> None:
    sessions.open_session(connection, new_session())
    raise ZeroDivisionError


async def test_a_fault_that_undoes_the_group_is_told_to_all_of_it(store: SqliteStore, path: Path) -> None:
    def fatal(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT OR ROLLBACK INTO meta (key, value) VALUES ('schema_version', 'again')")

    with write_locked(path):
        calls = [store.submit([new()]), store._writer.run(fatal), store.submit([new()])]
        waiting = [asyncio.create_task(call) for call in calls]
        await settle()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert [isinstance(answer, Exception) for answer in answers] == [True, True, False]
    assert len(await store.jobs()) == 1, "told to have failed, and not written"


async def test_a_cancelled_callers_write_is_never_done(store: SqliteStore, path: Path) -> None:
    with write_locked(path):
        first = asyncio.create_task(store.submit([new()]))
        second = asyncio.create_task(store.submit([new()]))
        await settle()
        for task in (first, second):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
    [job_id] = await store.submit([new()])
    assert [job.id for job in await store.jobs()] == [job_id]


async def test_a_caller_cancelled_in_mid_write_does_not_break_the_lane(store: SqliteStore) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(connection: sqlite3.Connection) -> None:
        begun.set()
        go_on.wait(5)

    task = asyncio.create_task(store._writer.run(slow))
    await asyncio.to_thread(begun.wait, 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    assert len(await store.submit([new()])) == 1


async def test_a_write_that_hangs_is_given_up_at_the_deadline(path: Path) -> None:
    async with opened(SqliteStore(path, timeout=0.2)) as store:
        assert isinstance(store, SqliteStore)
        go_on = threading.Event()
        hung = asyncio.create_task(store._writer.run(lambda c: go_on.wait(5)))
        await settle()
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match="not begun and will not be"):
            await store.submit([new()])
        assert time.monotonic() - began < 1.0
        with pytest.raises(StoreUnavailable, match="not known"):
            await hung
        go_on.set()
        assert await store.jobs() == []


async def test_the_queue_is_bounded(store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane, "MAX_WAITING", 10)
    with write_locked(path):
        waiting = [asyncio.create_task(store.submit([new()])) for _ in range(15)]
        done, _ = await asyncio.wait(waiting, timeout=0.2)
        assert 4 <= len(done) <= 5, "one may be in the thread's hands"
        assert all(isinstance(task.exception(), StoreUnavailable) for task in done)
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert len(await store.jobs()) == sum(isinstance(answer, list) for answer in answers) >= 10


async def test_the_clock_is_read_once_in_a_transaction(path: Path) -> None:
    ticking = itertools.count(1_772_442_000_000_000)
    async with opened(SqliteStore(path, clock=lambda: next(ticking))) as store:
        assert isinstance(store, SqliteStore)

        def look(connection: sqlite3.Connection) -> tuple[int, ...]:
            first: int = connection.execute("SELECT gw_now()").fetchone()[0]
            return first, *connection.execute("SELECT gw_now(), gw_now()").fetchone()

        for side in (store._writer, store._reader):
            once, again = await side.run(look), await side.run(look)
            assert len(set(once)) == len(set(again)) == 1
            assert again > once


async def test_the_reading_lane_cannot_write(store: SqliteStore) -> None:
    with pytest.raises(AccessDenied):
        await store._reader.run(lambda c: c.execute("DELETE FROM jobs"))


async def test_a_store_serves_several_event_loops(store: SqliteStore) -> None:
    def elsewhere() -> list[str]:
        return asyncio.run(store.submit([new()]))

    theirs = await asyncio.gather(*(asyncio.to_thread(elsewhere) for _ in range(4)))
    ours = await asyncio.gather(*(store.submit([new()]) for _ in range(20)))
    assert len(await store.jobs()) == len({job_id for [job_id] in [*theirs, *ours]}) == 24


async def test_closing_serves_what_waits_and_ends_the_threads(path: Path) -> None:
    others = threading.enumerate()  # a test before this one may not have closed its store
    store = SqliteStore(path)
    await store.migrate()
    await store.open()
    waiting = [asyncio.create_task(store.submit([new()])) for _ in range(5)]
    await settle()
    await store.close()
    await store.close()
    assert len(await asyncio.gather(*waiting)) == 5
    assert not any(thread.name.startswith("sqlite-") and thread not in others for thread in threading.enumerate())
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.jobs()
