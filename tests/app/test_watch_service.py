"""`watch`, `once` and `look` as they are called: over real files, a real port and the process's own clocks."""

from __future__ import annotations

import asyncio
import socket
import time as real_time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from watch_kit import new, new_session, settings, written

from gradewatch.app import look, once, watch
from gradewatch.board import Board
from gradewatch.config import HttpSettings, Settings, StoreSettings, Timeouts
from gradewatch.errors import GradewatchError
from gradewatch.model import Code, JobState, Known, Outcome, Unknown
from gradewatch.platforms.none import NoPlatform
from gradewatch.stores.sqlite import SqliteStore


def of(path: Path, **changes: Any) -> Settings:
    by = settings(watch={"interval": 0.1}, **changes)
    return replace(by, store=StoreSettings(f"sqlite:///{path}", 1.0), http=HttpSettings(port=free_port()))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def watching(by: Settings, **parts: Any) -> AsyncIterator[aiohttp.ClientSession]:
    """The watch runs and answers; afterwards it is told to stop, and does so in time."""
    stop = asyncio.Event()
    running = asyncio.create_task(watch(by, environ={}, stop=stop, **parts))
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{by.http.port}") as http:
            await until(lambda: _connects(by.http.port) or running.done())
            if running.done():
                running.result()
            yield http
    finally:
        stop.set()
        await asyncio.wait_for(asyncio.gather(running, return_exceptions=True), 10)


def _connects(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = real_time.monotonic() + seconds
    while not condition():
        assert real_time.monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.01)


async def status(http: aiohttp.ClientSession, path: str) -> tuple[int, str]:
    async with http.get(path) as response:
        return response.status, await response.text()


# ---------------------------------------------------------------- watch


async def test_it_starts_while_the_store_is_away_and_says_so(tmp_path: Path) -> None:
    """The database comes into being only later: the watch needs no restart for it."""
    board = Board()
    path = tmp_path / "later.db"
    async with watching(of(path), board=board) as http:
        code, body = await status(http, "/readyz")
        assert (code, "gradewatch migrate" in body) == (503, True)
        assert (await status(http, "/livez"))[0] == 200
        await until(lambda: board.latest is not None)
        assert board.latest is not None
        assert Code.STORE_SCHEMA_MISMATCH in {f.code for f in board.latest.diagnosis.findings}
        assert not path.exists(), "a watch creates nothing"

        store = SqliteStore(path)
        await store.migrate()
        await until(lambda: board.latest is not None and isinstance(board.latest.snapshot.store, Known))
        async with asyncio.timeout(10):
            while (await status(http, "/readyz"))[0] != 200:
                await asyncio.sleep(0.02)
        await until(lambda: board.latest is not None and board.latest.leader)
        await store.close()


async def test_it_repairs_and_shows_it_and_leaves_its_lease_when_it_stops(store: SqliteStore, path: Path) -> None:
    by = of(path, timeouts=Timeouts(schedule_to_start=0.2))
    plain = SqliteStore(path)
    [late] = await plain.submit(new())
    board = Board()
    async with watching(by, board=board) as http:
        async with asyncio.timeout(10):
            while (found := await plain.job(late)) is None or found.state is not JobState.FAILED:
                await asyncio.sleep(0.02)
        assert (await status(http, "/startupz"))[0] == 200
        await until(lambda: board.latest is not None and not board.latest.results)
        _, metrics = await status(http, "/metrics")
        assert 'gradewatch_remediations_total{action="expire",outcome="applied"} 1.0' in metrics
    assert await plain.acquire("watch", "another", 15.0) is not None
    await plain.close()


async def test_a_port_that_is_taken_ends_it_at_once(store: SqliteStore, path: Path) -> None:
    by = of(path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", by.http.port))
        taken.listen()
        with pytest.raises(GradewatchError, match=str(by.http.port)):
            await watch(by, environ={}, stop=asyncio.Event(), platform=NoPlatform())


# ---------------------------------------------------------------- once and look


async def late_and_lost(path: Path) -> tuple[str, str]:
    """By the process's own clock: one job that waits too long, one whose worker has ended."""
    store = SqliteStore(path)
    [lost] = await store.submit(new())
    session = await store.open_session(new_session())
    await store.claim(session, ["default"], ["grade"], 1)
    await store.end_session(session, "it was killed")
    [late] = await store.submit(new())
    await asyncio.sleep(0.06)
    await store.close()
    return late, lost


SHORT = Timeouts(schedule_to_start=0.05)


async def test_once_acts_in_its_one_cycle_and_lets_the_lease_go(store: SqliteStore, path: Path) -> None:
    late, lost = await late_and_lost(path)
    by = of(path, timeouts=SHORT)
    report = await once(by, environ={})
    assert {(r.action.kind.value, r.action.subject, r.outcome) for r in report.results} == {
        ("expire", late, Outcome.APPLIED),
        ("requeue", lost, Outcome.APPLIED),
    }
    assert (await once(by, environ={})).leader


async def test_a_rehearsal_says_what_it_would_do(store: SqliteStore, path: Path) -> None:
    late, lost = await late_and_lost(path)
    report = await once(of(path, timeouts=SHORT), environ={}, dry_run=True)
    assert {(r.action.subject, r.outcome) for r in report.results} == {
        (late, Outcome.DRY_RUN),
        (lost, Outcome.DRY_RUN),
    }
    assert [(await store.job(id)).state.value for id in (late, lost)] == ["pending", "running"]  # type: ignore[union-attr]


async def test_a_look_changes_nothing(store: SqliteStore, path: Path) -> None:
    await late_and_lost(path)
    before = written(path)
    report = await look(of(path, timeouts=SHORT), environ={"GROQ_API_KEY": " "})
    assert (report.leader, report.results) == (False, ())
    assert {f.code for f in report.diagnosis.findings} >= {Code.WORKER_NOT_RUNNING, Code.CREDENTIAL_MISSING}
    assert written(path) == before


async def test_a_look_at_a_store_that_is_not_there_tells_so_and_creates_nothing(tmp_path: Path) -> None:
    report = await look(of(tmp_path / "none.db"), environ={})
    assert isinstance(report.snapshot.store, Unknown)
    assert report.snapshot.store.code is Code.STORE_SCHEMA_MISMATCH
    assert list(tmp_path.iterdir()) == []
