"""Draining and outages: everything is let go of, in bounded time, whatever the store does."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from structlog.testing import capture_logs
from worker_kit import Bench, Gate, until

from gradewatch.model import Finish, JobState
from gradewatch.stores.sqlite import SqliteStore
from gradewatch.worker.context import JobContext


async def test_running_jobs_are_let_finish_and_nothing_new_is_begun(bench: Bench) -> None:
    gate = Gate()
    jobs = await bench.submit(3)
    with capture_logs() as logs:
        async with bench.worker(gate, slots=2) as worker:
            await until(lambda: len(gate.begun) == 2)
            worker.request_drain()
            await asyncio.sleep(0.3)
            gate.open.set()
            await bench.in_state(gate.begun[:2], JobState.SUCCEEDED)
            await until(lambda: worker.session_id is None)
    [left] = set(jobs) - set(gate.begun)
    job = await bench.job(left)
    assert (job.state, job.attempt) == (JobState.PENDING, 0)
    events = [line["event"] for line in logs]
    assert events.index("worker draining") < events.index("worker stopped")


async def test_what_does_not_finish_in_time_goes_back_at_once_uncharged(bench: Bench) -> None:
    gate = Gate()
    jobs = await bench.submit(2)
    async with bench.worker(gate, drain=0.3) as worker:
        await until(lambda: len(gate.begun) == 2)
        worker.request_drain()
        released = await bench.in_state(jobs, JobState.PENDING)
        await until(lambda: worker.session_id is None)
    assert [(j.attempt, j.session_id) for j in released] == [(0, None)] * 2
    assert sorted(gate.cancelled) == sorted(jobs)
    assert bench.seen.done == [("grade", "released")] * 2
    [session] = await bench.store.sessions()
    assert session.end_reason == "drained"


async def test_a_second_request_cuts_the_wait(bench: Bench) -> None:
    gate = Gate()
    jobs = await bench.submit()
    began = time.monotonic()
    async with bench.worker(gate, drain=60.0) as worker:
        await until(lambda: gate.begun)
        worker.request_drain()
        await asyncio.sleep(0.1)
        assert not gate.cancelled
        worker.request_drain()
        await bench.in_state(jobs, JobState.PENDING)
    assert time.monotonic() - began < 10


async def test_a_cancelled_run_gives_its_jobs_back_too(bench: Bench) -> None:
    gate = Gate()
    jobs = await bench.submit(2)
    async with bench.worker(gate, drain=60.0):
        await until(lambda: len(gate.begun) == 2)
        assert bench.running is not None
        bench.running.cancel()
        released = await bench.in_state(jobs, JobState.PENDING)
        await asyncio.wait({bench.running})
        assert bench.running.cancelled()
    assert [j.attempt for j in released] == [0, 0]
    [session] = await bench.store.sessions()
    assert session.end_reason == "stopped undrained"


async def test_a_handler_that_will_not_stop_is_left_behind_and_its_late_writes_refused(bench: Bench) -> None:
    refused: list[BaseException] = []
    begun = asyncio.Event()

    async def stubborn(context: JobContext) -> Mapping[str, Any]:
        begun.set()
        end = time.monotonic() + 2.2
        while time.monotonic() < end:
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                continue
        try:
            await context.progress(1, 1)
        except Exception as error:  # noqa: BLE001
            refused.append(error)
        return {"stubborn": True}

    jobs = await bench.submit()
    async with bench.worker(stubborn, drain=0.1) as worker:
        await begun.wait()
        worker.request_drain()
        [job] = await bench.in_state(jobs, JobState.PENDING)
    assert job.attempt == 0
    await until(lambda: refused)
    assert (await bench.job(jobs[0])).state is JobState.PENDING


async def test_an_idle_worker_stops_at_once(bench: Bench) -> None:
    async with bench.worker(drain=60.0, poll=60.0, heartbeat=600.0) as worker:  # no beat wakes it
        await bench.beating()
        await asyncio.sleep(0.2)
        began = time.monotonic()
        worker.request_drain()
        await until(lambda: worker.session_id is None)
    assert time.monotonic() - began < 2.0


async def test_a_hanging_store_does_not_hold_up_the_stop(bench: Bench) -> None:
    gate = Gate()
    await bench.submit()
    blocker = sqlite3.connect(bench.path, isolation_level=None)
    try:
        async with bench.worker(gate, drain=0.2, timeout=1.0) as worker:
            await until(lambda: gate.begun)
            blocker.execute("BEGIN IMMEDIATE")  # every write from here on waits for its deadline
            began = time.monotonic()
            worker.request_drain()
            await until(lambda: gate.cancelled)
            await until(lambda: worker.session_id is None)
    finally:
        blocker.close()
    assert time.monotonic() - began < 0.2 + 5.0 + 3.0  # and the kit's own closing of the handle


async def test_an_outage_stops_no_job_and_no_worker(bench: Bench) -> None:
    gate = Gate()
    jobs = await bench.submit(2)
    away = bench.path.with_name("away.db")
    with capture_logs() as logs:
        async with bench.worker(gate, heartbeat=0.5) as worker:
            await until(lambda: len(gate.begun) == 2)
            session = worker.session_id
            bench.path.rename(away)
            await until(lambda: any(line["event"] == "claiming nothing" for line in logs))
            assert not worker.store_reachable
            gate.open.set()
            await until(lambda: worker.busy == 0)  # their ends wait in memory
            away.rename(bench.path)
            await bench.in_state(jobs, JobState.SUCCEEDED)
            await bench.in_state(await bench.submit(), JobState.SUCCEEDED)
            assert worker.session_id == session
            await until(lambda: worker.store_reachable)
    events = [line["event"] for line in logs]
    assert (events.count("store unreachable"), events.count("store back")) == (1, 1)
    assert "job taken back" not in events


class SlowToFinish(SqliteStore):
    """Claims as ever, but writes no end of a job before `go`."""

    go: ClassVar[asyncio.Event]

    async def finish(self, finishes: Sequence[Finish]) -> list[bool]:
        await self.go.wait()
        return await super().finish(finishes)


async def test_claims_stop_when_ends_cannot_be_written(bench: Bench) -> None:
    """Bounded memory: at most twice the slots are held, running or waiting to be written."""
    begun: list[str] = []

    async def brief(context: JobContext) -> Mapping[str, Any]:
        begun.append(context.job.id)
        return {}

    SlowToFinish.go = asyncio.Event()
    jobs = await bench.submit(30)
    async with bench.worker(brief, slots=3, store=SlowToFinish):
        await until(lambda: len(begun) == 6)
        await asyncio.sleep(0.5)  # several polls
        assert len(begun) == 6
        SlowToFinish.go.set()
        await bench.in_state(jobs, JobState.SUCCEEDED)


async def test_a_worker_waits_for_a_store_that_is_not_there_yet(bench: Bench) -> None:
    away = bench.path.with_name("away.db")
    jobs = await bench.submit()
    async with bench.worker() as worker:
        await bench.in_state(jobs, JobState.SUCCEEDED)
        session = worker.session_id
        assert session is not None
        await bench.store.end_session(session, "declared dead")
        bench.path.rename(away)
        await asyncio.sleep(0.5)
        away.rename(bench.path)
        await bench.in_state(await bench.submit(), JobState.SUCCEEDED)
        assert worker.session_id != session
