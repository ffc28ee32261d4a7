"""What the tests of the MongoDB store say often."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import pytest
import store_kit
from backends import opened
from pymongo import MongoClient
from store_kit import Hands, action, fence, ids

from gradewatch.errors import AccessDenied, Conflict, GradewatchError, SchemaMismatch, StoreUnavailable
from gradewatch.model import ActionKind, Finish, FinishKind, Job, JobState, Outcome
from gradewatch.stores.mongo import MongoStore

TIMEOUT = 0.5  # seconds: a transaction is abandoned half a second after that
ABANDONED = TIMEOUT + 0.5


@asynccontextmanager
async def handle(url: str, **options: Any) -> AsyncIterator[MongoStore]:
    async with opened(MongoStore(url, **{"timeout": 2.0, **options})) as store:
        assert isinstance(store, MongoStore)
        yield store


async def refusal(url: str, **options: Any) -> GradewatchError:
    """What opening is answered with."""
    store = MongoStore(url, **{"timeout": 1.0, **options})
    try:
        with pytest.raises((SchemaMismatch, StoreUnavailable, AccessDenied)) as caught:
            await store.open()
        return caught.value
    finally:
        await store.close()


async def until(condition: Callable[[], Awaitable[object]], within: float = 20) -> None:
    async with asyncio.timeout(within):
        while not await condition():
            await asyncio.sleep(0.01)


async def one_life(store: MongoStore, acknowledged: list[str]) -> None:
    """A worker from the opening of its session until it finds nothing more; it also ends when a call fails."""
    hands = await Hands.open(store)
    try:
        while jobs := await hands.claim(5):
            answers = await store.finish([Finish(fence(job), FinishKind.SUCCEED) for job in jobs])
            acknowledged += [job.id for job, held in zip(jobs, answers, strict=True) if held]
    finally:
        with suppress(StoreUnavailable):
            await store.end_session(hands.session, "over")


class Crowd:
    """Three workers that claim and finish `submitted` jobs through faults, until `over` is set and nothing is left."""

    def __init__(self, url: str, submitted: list[str]) -> None:
        self.url, self.submitted = url, submitted
        self.acknowledged: list[str] = []
        self.faults: list[str] = []
        self.calls = 0
        self.over = asyncio.Event()

    async def work(self) -> None:
        async with asyncio.timeout(60):
            await asyncio.gather(*(self._worker() for _ in range(3)))

    async def _worker(self) -> None:
        async with handle(self.url) as mine:
            while True:
                self.calls += 1
                try:
                    await one_life(mine, self.acknowledged)
                    if self.over.is_set():
                        return
                except (StoreUnavailable, Conflict) as error:
                    self.faults.append(str(error))
                await asyncio.sleep(0.02)

    async def reached(self, count: int) -> None:
        while len(self.acknowledged) < count:
            await asyncio.sleep(0.001)

    async def check(self, store: MongoStore) -> None:
        """No job lost, none finished twice, none acknowledged and gone, and every depth right."""
        jobs = await store.jobs(limit=1000)
        assert sorted(ids(jobs)) == sorted(self.submitted)
        assert len(set(self.acknowledged)) == len(self.acknowledged), "no job was finished twice"
        done = {job.id for job in jobs if job.state is JobState.SUCCEEDED}
        assert set(self.acknowledged) <= done, "what was acknowledged outlived the fault"
        open_still = [session.id for session in await store.sessions()]
        held = await store.held("default", open_still, kinds=None, limit=1000)
        assert {job.id for job in held} | done == set(self.submitted), "the rest is found by the watch"
        stats = await store.stats("default")
        assert (stats.running, stats.finished_total["succeeded"]) == (len(held), len(done))
        assert stats.pending == 0


@contextmanager
def left_open(url: str, job: Job, *, appname: str = "gradewatch") -> Iterator[Any]:
    """A transaction that has changed the job and is neither committed nor broken off; gives its session. To the server
    it makes no difference whether its process was killed or does nothing: neither ends the session."""
    with MongoClient(url, appname=appname, timeoutMS=5000) as client, client.start_session() as session:
        session.start_transaction()
        jobs = client["contract"]["gradewatch_jobs"]
        assert jobs.update_one({"_id": job.id}, {"$set": {"message": "x"}}, session=session).matched_count == 1
        yield session
        if session.in_transaction:
            session.abort_transaction()


async def taken_back(store: MongoStore, job: Job) -> bool:
    """Taken back; False while that cannot be done."""
    try:
        (result,) = await store_kit.repaired(store, action(ActionKind.REQUEUE, job))
    except StoreUnavailable:
        return False
    return result.outcome is Outcome.APPLIED


async def stays_locked(store: MongoStore, job: Job) -> None:
    """For twice as long as it takes to end a transaction that is abandoned."""
    due = time.monotonic() + 2 * ABANDONED
    while time.monotonic() < due:
        assert not await taken_back(store, job)
