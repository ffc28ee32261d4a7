"""Worth knowing, without a bar: taking a thousand jobs back, waking a worker, what a heartbeat costs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from benchmarks.figures import Entry, percentile, worth_knowing
from benchmarks.world import World, world
from gradewatch.app.watching import make_cycle
from gradewatch.board import Board
from gradewatch.config import RemediationSettings, Settings, WorkerSettings
from gradewatch.config.settings import DEFAULT_BUDGETS, Budget
from gradewatch.model import ActionKind, NewJob, NewSession
from gradewatch.platforms.none import NoPlatform
from gradewatch.stores.sqlite import SqliteStore
from gradewatch.worker.context import JobContext
from gradewatch.worker.runtime import Worker

HELD = 1000  # running jobs of the worker that dies
WAKES = 60
BEATS = 200
BUDGET = {**DEFAULT_BUDGETS, ActionKind.REQUEUE: Budget(2 * HELD, 600.0)}
SETTINGS = replace(Settings(), remediation=RemediationSettings(budget=BUDGET))


async def run() -> list[Entry]:
    async with world() as made:
        beat, recovery = await _beat_and_recovery(made)
    async with world() as made:
        waking = await _waking(made)
    return [
        worth_knowing("a beat of a worker that holds 1,000 jobs, median", beat, "ms"),
        worth_knowing("1,000 running jobs of a dead worker taken back, one cycle", recovery, "ms"),
        worth_knowing("submit until an idle worker begins the job, median", percentile(waking, 50), "ms"),
        worth_knowing("submit until an idle worker begins the job, p99", percentile(waking, 99), "ms"),
    ]


async def _beat_and_recovery(world: World) -> tuple[float, float]:
    store = world.store
    cycle = make_cycle(SETTINGS, store, NoPlatform(), Board(), environ={})
    await cycle.run_once()  # the first one only observes
    await store.submit([NewJob("grade", {})] * HELD)
    session = await store.open_session(NewSession("worker", ("default",), HELD, "host", 1, "bench"))
    await store.claim(session, ["default"], ["grade"], HELD)
    beats = []
    for _ in range(BEATS):
        began = time.perf_counter()
        await store.beat(session, loop_age=0.0, busy=HELD)
        beats.append((time.perf_counter() - began) * 1000)
    await store.end_session(session, "died")
    began = time.perf_counter()
    await cycle.run_once()
    seconds = time.perf_counter() - began
    if (stats := await store.stats("default")).pending != HELD:
        raise RuntimeError(f"{stats.pending} of {HELD} jobs were taken back")
    return percentile(beats, 50), seconds * 1000


async def _waking(world: World) -> list[float]:
    begun: asyncio.Queue[float] = asyncio.Queue()

    async def note(context: JobContext) -> Mapping[str, Any]:
        begun.put_nowait(time.perf_counter())
        return {}

    took = []
    async with _working(world, note) as worker:
        for n in range(WAKES):
            await world.until(lambda: _idle(worker), "the worker is idle")
            await asyncio.sleep(0.06 + n * 0.001)  # another phase of the worker's looks at the store each time
            before = time.perf_counter()
            await world.store.submit([NewJob("grade", {})])
            took.append((await begun.get() - before) * 1000)
    return took


async def _idle(worker: Worker) -> bool | None:
    return True if worker.session_id and not worker.busy else None


@asynccontextmanager
async def _working(world: World, handler: Any) -> AsyncIterator[Worker]:
    """A worker over a handle of its own, as in another process."""

    async def open_store() -> SqliteStore:
        store = SqliteStore(world.store.path)
        await store.open()
        return store

    store = await open_store()
    worker = Worker(
        store, open_store, name="worker", queues=["default"], handlers={"grade": handler}, settings=WorkerSettings(),
        heartbeat_timeout=15.0, version="bench",
    )  # fmt: skip
    running = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        worker.request_drain()
        await running
        await store.close()
