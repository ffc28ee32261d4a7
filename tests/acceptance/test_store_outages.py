"""The store taken away for a while, in every way a file can be: nobody is blamed for it."""

from __future__ import annotations

import fcntl
import json
import signal
import sqlite3
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing

import pytest
from chaos_kit import Scene, Service, later, until

from gradewatch.model import Credit

pytestmark = pytest.mark.acceptance

AWAY = 7.0  # seconds: several heartbeat timeouts, and longer than any job may wait
IMPATIENT = {"TIMEOUTS__SCHEDULE_TO_START": "6500ms", "TIMEOUTS__HEARTBEAT": "2500ms", "STORE__TIMEOUT": "1s"}


@asynccontextmanager
async def write_locked(scene: Scene) -> AsyncIterator[None]:
    """Somebody's forgotten shell keeps a write transaction open: reading goes on, writing does not."""
    with closing(sqlite3.connect(scene.database, timeout=5, isolation_level=None)) as shell:
        shell.execute("BEGIN IMMEDIATE")
        yield


@asynccontextmanager
async def all_locked(scene: Scene) -> AsyncIterator[None]:
    """Somebody keeps every lock of the write-ahead log, as a recovery does: neither reading nor writing goes on."""
    with scene.database.with_name(scene.database.name + "-shm").open("r+b") as shm:
        for byte in range(120, 128):  # UNIX_SHM_BASE and the seven after it, see os_unix.c
            exclusive = struct.pack("hhqqi", fcntl.F_WRLCK, 0, byte, 1, 0)
            await until(lambda lock=exclusive: _taken(shm.fileno(), lock), "the lock is taken")
        yield


def _taken(fd: int, lock: bytes) -> bool:
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, lock)
    except OSError:
        return False
    return True


@asynccontextmanager
async def file_moved(scene: Scene) -> AsyncIterator[None]:
    """The database file alone is moved away."""
    aside = scene.folder / "aside.db"
    scene.database.rename(aside)
    yield
    aside.rename(scene.database)


@asynccontextmanager
async def folder_moved(scene: Scene) -> AsyncIterator[None]:
    """All of it goes, papers too, as when a volume is unmounted."""
    aside = scene.folder / "aside"
    scene.database.parent.rename(aside)
    yield
    aside.rename(scene.database.parent)


@pytest.mark.parametrize("taken_away", [write_locked, all_locked, file_moved, folder_moved])
async def test_the_store_is_taken_away_for_a_while(
    scene: Scene, taken_away: Callable[[Scene], AbstractAsyncContextManager[None]]
) -> None:
    worker, watch = scene.start("worker", **IMPATIENT), scene.start("watch", **IMPATIENT)
    (session,) = await scene.workers(1)
    await until(lambda: _status(watch), "the watch has seen the worker")
    first, second = await scene.submit(2, papers=80)
    await scene.half_way(first)

    async with taken_away(scene):
        await until(lambda: watch.lines("finding", code="store_unreachable"), "the watch says so")
        body = await until(lambda: _refusal(watch, "/api/worker_status"), "nobody can be said to work")
        assert json.loads(body)["worker_running"] is False
        assert json.loads(body)["error"]
        await until(lambda: _refusal(watch, "/readyz"), "it is not ready")
        doctor = await scene.run("doctor", "--json", code=2)
        assert json.loads(doctor.stdout)["status"] == "cannot_tell", "doctor, which changes nothing, sees it too"
        assert await watch.metric('gradewatch_store_up{store="sqlite"}') == 0
        assert (await watch.get("/livez"))[0] == 200
        await until(later(AWAY), "the outage lasts")

    await until(lambda: watch.lines("finding gone", code="store_unreachable"), "the watch says that it is over")
    await watch.cycles(2)  # of which one acts
    assert await watch.metric('gradewatch_store_up{store="sqlite"}') == 1
    watch.kill(signal.SIGTERM)  # before the jobs have waited too long without any outage
    await watch.ended()
    await scene.graded_once([first, second])
    assert len(worker.lines("store back")) <= 3, "one outage is told once, or twice for each way to the store"
    assert await scene.story() == [], "nobody was failed or taken back for it"
    assert [s.id for s in await scene.store.sessions()] == [session.id], "nor was its worker given up"
    credit = await until(lambda: _credited(scene), "the outage is credited")
    assert credit.kind == "outage"


async def _status(watch: Service) -> bool:
    return (await watch.get("/api/worker_status"))[0] == 200


async def _refusal(watch: Service, path: str) -> str | None:
    """The body of a 503. A good answer may be a second old."""
    status, body = await watch.get(path)
    return body if status == 503 else None


async def _credited(scene: Scene) -> Credit | None:
    """The longest span that was credited, once it is about as long as the outage."""
    credits = (await scene.store.control({})).credits
    return next((c for c in credits if (c.end - c.start).total_seconds() >= AWAY), None)
