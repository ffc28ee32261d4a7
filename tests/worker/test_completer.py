"""The completer: finishes written in batches, kept through an outage, refused where the claim is lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from structlog.testing import capture_logs
from worker_kit import Bench, until

from gradewatch.model import Claimed, Finish, FinishKind, Job, JobState, NewSession
from gradewatch.stores.sqlite import SqliteStore
from gradewatch.worker.completer import Completer
from gradewatch.worker.outage import Outage


class Counting(SqliteStore):
    """The real store; it notes the size of each batch, and writes none before `go`."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.batches: list[int] = []
        self.go = asyncio.Event()

    async def finish(self, finishes: Sequence[Finish]) -> list[bool]:
        self.batches.append(len(finishes))
        await self.go.wait()
        return await super().finish(finishes)


@asynccontextmanager
async def _completer(store: SqliteStore, written: list[tuple[Finish, bool]]) -> AsyncIterator[Completer]:
    def on_written(finish: Finish, ok: bool) -> None:
        written.append((finish, ok))

    completer = Completer(store, Outage(random.Random(1)), capacity=1000, on_written=on_written)
    task = asyncio.create_task(completer.run())
    yield completer
    task.cancel()


async def _claimed(bench: Bench, count: int) -> list[Job]:
    session = await bench.store.open_session(NewSession("w", ("default",), 200, "host", 1, "test"))
    await bench.submit(count)
    return await bench.store.claim(session, ["default"], {"grade"}, count)


def _success(job: Job) -> Finish:
    return Finish(Claimed(job.id, job.token), FinishKind.SUCCEED, result={})


async def test_what_gathers_while_a_batch_is_written_is_the_next_batch(bench: Bench) -> None:
    jobs = await _claimed(bench, 100)
    store = Counting(bench.path)
    written: list[tuple[Finish, bool]] = []
    async with _completer(store, written) as completer:
        completer.put(_success(jobs[0]))
        await until(lambda: store.batches)
        for job in jobs[1:]:
            completer.put(_success(job))
        assert completer.room == 1000 - 100
        store.go.set()
        await completer.flush()
    assert store.batches == [1, 99]
    assert [ok for _, ok in written] == [True] * 100
    assert (len(completer), completer.room) == (0, 1000)
    await store.close()


async def test_a_claim_that_was_lost_is_refused_and_the_rest_written(bench: Bench) -> None:
    jobs = await _claimed(bench, 3)
    await bench.repair(jobs[1].id)
    written: list[tuple[Finish, bool]] = []
    async with _completer(bench.store, written) as completer:
        for job in jobs:
            completer.put(_success(job))
        await completer.flush()
    assert [ok for _, ok in written] == [True, False, True]
    assert (await bench.job(jobs[1].id)).state is JobState.PENDING


async def test_an_outage_delays_what_is_finished_and_loses_nothing(bench: Bench) -> None:
    jobs = await _claimed(bench, 5)
    away = bench.path.with_name("away.db")
    written: list[tuple[Finish, bool]] = []
    with capture_logs() as logs:
        async with _completer(bench.store, written) as completer:
            bench.path.rename(away)
            for job in jobs:
                completer.put(_success(job))
            await until(lambda: logs)
            assert (len(completer), written) == (5, [])
            assert _success(jobs[0]).claim in completer
            away.rename(bench.path)
            await completer.flush()
    assert [ok for _, ok in written] == [True] * 5
    assert [line["event"] for line in logs] == ["store unreachable", "store back"]
