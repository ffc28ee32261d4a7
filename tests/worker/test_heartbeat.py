"""The independent heartbeat: it beats whatever the event loop does, outlasts outages, and is watched itself."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Mapping
from typing import Any

import pytest
from structlog.testing import capture_logs
from worker_kit import Bench, Gate, noop, until

from gradewatch.config import WorkerSettings
from gradewatch.model import BeatReply, JobState, Session
from gradewatch.stores.sqlite import SqliteStore
from gradewatch.worker.context import JobContext
from gradewatch.worker.heartbeat import Beat, Heartbeat, Pulse
from gradewatch.worker.observer import Observer
from gradewatch.worker.runtime import Worker


async def _session(bench: Bench) -> Session:
    [session] = [s for s in await bench.store.sessions() if s.ended_at is None]
    return session


def _beating_threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "heartbeat"]


async def test_one_write_a_beat_however_many_jobs_run(bench: Bench) -> None:
    gate = Gate()
    await bench.submit(8)
    async with bench.worker(gate, slots=8, heartbeat=0.5):
        await until(lambda: len(gate.begun) == 8)
        before = await _session(bench)
        began = time.monotonic()

        async def five_more() -> bool:
            return (await _session(bench)).beats >= before.beats + 5

        await until(five_more)
        session, seconds = await _session(bench), time.monotonic() - began
        assert session.busy == 8
        assert session.beats - before.beats <= seconds / 0.1 + 2
        assert session.loop_age < 2.0
        gate.open.set()


async def test_a_blocked_event_loop_is_told_by_beats_that_go_on(bench: Bench) -> None:
    """A starved worker, as the watch sees it: the beats grow, and the pulse in them grows old."""

    async def blocks(context: JobContext) -> Mapping[str, Any]:
        time.sleep(1.5)
        return {}

    seen: list[Session] = []

    def look() -> None:
        async def read() -> None:
            store = SqliteStore(bench.path)
            await store.open()
            while (await store.job(job_id)).state is not JobState.SUCCEEDED:  # type: ignore[union-attr]
                seen.extend(s for s in await store.sessions() if s.ended_at is None)
                await asyncio.sleep(0.05)
            await store.close()

        asyncio.run(read())

    async with bench.worker(blocks, heartbeat=0.5):
        [job_id] = await bench.submit()
        await asyncio.to_thread(look)
        ages = [s.loop_age for s in seen]
        blocked = [s for s in seen if s.loop_age > 0.7]
        assert max(ages) > 1.2
        assert blocked[-1].beats - blocked[0].beats >= 3
        assert blocked[0].busy == 1

        async def recovered() -> bool:
            return (await _session(bench)).loop_age < 0.7

        await until(recovered)


async def test_the_thread_ends_with_the_worker(bench: Bench) -> None:
    async with bench.worker():
        await until(_beating_threads)
    assert _beating_threads() == []


async def test_a_dead_thread_is_told_and_replaced(bench: Bench) -> None:
    opened: list[SqliteStore] = []

    async def breaks_once() -> SqliteStore:
        if not opened:
            opened.append(await bench.handle())
            await opened[0].close()
            raise RuntimeError("a driver's own bug")
        return await bench.handle()

    with capture_logs() as logs:
        async with bench.worker(open_store=breaks_once, heartbeat=0.5):

            async def beats() -> bool:
                return (await _session(bench)).beats >= 3

            await until(beats)
    events = [line["event"] for line in logs]
    assert events.count("heartbeat thread died") == 1
    assert events.count("heartbeat thread restarted") == 1


async def test_without_beats_nothing_new_is_claimed_until_one_gets_through(bench: Bench) -> None:
    """The worker's other handle works all along: it stops by itself, before the watch gives it up."""
    gate = Gate()
    away = [True]

    async def open_store() -> SqliteStore:
        if away[0]:
            store = SqliteStore(bench.path.with_name("elsewhere.db"))
            await store.open()  # raises: no such file
        return await bench.handle()

    with capture_logs() as logs:
        async with bench.worker(gate, heartbeat=0.5, open_store=open_store) as worker:
            [first] = await bench.submit()
            await until(lambda: gate.begun == [first])
            await until(lambda: any(line["event"] == "claiming nothing" for line in logs))
            [second] = await bench.submit()
            await asyncio.sleep(0.5)  # several polls
            assert gate.begun == [first]
            assert gate.cancelled == []
            assert worker.busy == 1
            away[0] = False
            await until(lambda: gate.begun == [first, second])
            gate.open.set()
            await bench.in_state([first, second], JobState.SUCCEEDED)
    assert [line["event"] for line in logs if line["event"].startswith("claiming")] == [
        "claiming nothing",
        "claiming again",
    ]


async def test_beats_outlast_an_outage(bench: Bench) -> None:
    told: list[Beat] = []
    heartbeat = Heartbeat(
        bench.handle, timeout=0.3, pulse=Pulse(), busy=lambda: 0, report=told.append, rng=random.Random(1)
    )
    async with bench.worker(heartbeat=60.0) as worker:
        heartbeat.beat_for(worker.session_id)
        heartbeat.revive()
        await until(lambda: told and isinstance(told[-1].reply, BeatReply))
        away = bench.path.with_name("away.db")
        bench.path.rename(away)
        await until(lambda: not isinstance(told[-1].reply, BeatReply))
        away.rename(bench.path)
        await until(lambda: isinstance(told[-1].reply, BeatReply))
        assert told[-1].reply.session_open  # type: ignore[union-attr]
        await heartbeat.stop()
        assert not heartbeat.alive


async def test_a_new_session_beats_at_once(bench: Bench) -> None:
    async with bench.worker(heartbeat=600.0) as worker:  # the next beat would be due in two minutes
        await bench.beating()
        first = worker.session_id
        assert first is not None
        await bench.store.end_session(first, "declared dead")
        await bench.submit()  # its claim tells the worker
        await until(lambda: worker.session_id not in (None, first))
        await bench.beating()


class Faulty(Observer):
    """Breaks its promise to raise nothing."""

    def on_session(self, is_open: bool) -> None:
        raise ZeroDivisionError("a fault of this program")


async def test_a_worker_that_ends_by_a_fault_says_so_and_beats_no_more(bench: Bench) -> None:
    store = await bench.handle()
    worker = Worker(
        store,
        bench.handle,
        name="worker-1",
        queues=["default"],
        handlers={"grade": noop},
        settings=WorkerSettings(),
        heartbeat_timeout=0.5,
        version="test",
        observer=Faulty(),
    )
    with pytest.raises(ExceptionGroup):
        await worker.run()
    await until(lambda: _beating_threads() == [])
    await store.close()
