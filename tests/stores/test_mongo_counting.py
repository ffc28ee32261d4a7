"""MongoDB: depth without counting documents, exact through concurrency, folding and what people do by hand."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from typing import Any

import mongo_server
import pytest
from mongo_kit import handle
from store_kit import Hands, action, fence, get, new, repaired

from gradewatch.errors import StoreUnavailable
from gradewatch.model import ActionKind, Finish, FinishKind, JobState, Outcome
from gradewatch.stores.mongo import MongoStore, audit, stats, tallies


@pytest.fixture
def url() -> str:
    return mongo_server.emptied(mongo_server.server())


@pytest.fixture
async def store(url: str) -> AsyncIterator[MongoStore]:
    async with handle(url) as made:
        yield made


@pytest.fixture
def database(url: str) -> Iterator[Any]:
    with mongo_server.server().client() as hand:
        yield hand["contract"]


async def depth(store: MongoStore) -> tuple[int, int]:
    found = await store.stats("default")
    assert found.depth_exact
    return found.pending, found.running


async def test_deltas_are_folded_by_probes_and_nothing_is_counted_twice(store: MongoStore, database: Any) -> None:
    for _ in range(60):
        await store.submit([new()])
    assert database["gradewatch_deltas"].count_documents({}) == 60
    assert await depth(store) == (60, 0)
    assert database["gradewatch_deltas"].count_documents({}) == 0
    assert await depth(store) == (60, 0)
    assert (await store.stats("default")).enqueued_total == 60


async def test_more_deltas_than_one_folding_takes(store: MongoStore, database: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(tallies, "FOLD", 7)
    monkeypatch.setattr(stats, "FOLD", 7)
    for _ in range(40):
        await store.submit([new()])
    assert await depth(store) == (40, 0)


async def test_beats_fold_where_nobody_probes(store: MongoStore, database: Any) -> None:
    hands = await Hands.open(store)
    for _ in range(5):
        await store.submit([new()])
    for _ in range(10):
        await store.beat(hands.session, loop_age=0, busy=0)
    assert database["gradewatch_deltas"].count_documents({}) == 0
    assert await depth(store) == (5, 0)


async def test_depth_is_exact_and_totals_never_fall_while_all_happens_at_once(url: str) -> None:
    chance, over = random.Random(20260302), asyncio.Event()
    async with handle(url) as store:

        async def work() -> None:
            async with handle(url) as mine:
                hands = await Hands.open(mine)
                for _ in range(15):
                    await mine.submit([new(max_attempts=99) for _ in range(chance.randint(1, 4))])
                    jobs = await hands.claim(chance.randint(1, 4))
                    await mine.finish([Finish(fence(job), chance.choice(list(FinishKind))) for job in jobs])

        async def probe() -> None:
            last = await store.stats("default")
            while not over.is_set():
                now = await store.stats("default")
                for name in ("enqueued_total", "retries_total"):
                    assert getattr(now, name) >= getattr(last, name)
                assert now.wait_seconds is not None
                assert last.wait_seconds is not None
                assert now.wait_seconds.count >= last.wait_seconds.count
                assert now.enqueued_total - sum(now.finished_total.values()) == now.pending + now.running
                last = now

        watching = asyncio.create_task(probe())
        await asyncio.gather(*(work() for _ in range(3)))
        over.set()
        await watching
        left = [len(await store.jobs(state=state, limit=1000)) for state in (JobState.PENDING, JobState.RUNNING)]
        assert list(await depth(store)) == left


async def test_what_people_do_by_hand_is_put_right_by_the_upkeep(store: MongoStore, database: Any) -> None:
    await store.submit([new() for _ in range(5)])
    gone = database["gradewatch_jobs"].find_one()["_id"]
    database["gradewatch_jobs"].delete_one({"_id": gone})
    assert await depth(store) == (5, 0)
    await store.purge(finished_age=1000, audit_age=1000, limit=10)
    assert await depth(store) == (4, 0)
    await store.purge(finished_age=1000, audit_age=1000, limit=10)
    assert await depth(store) == (4, 0)


async def test_a_job_set_to_pending_by_hand_is_seen_to_wait_after_the_upkeep(store: MongoStore, database: Any) -> None:
    hands = await Hands.open(store)
    await store.submit([new()])
    job = await hands.one()
    database["gradewatch_jobs"].update_one({"_id": job.id}, {"$set": {"state": "pending"}})
    await store.purge(finished_age=1000, audit_age=1000, limit=10)
    [late] = await store.overdue("default", JobState.PENDING, 0.0, kinds=None, limit=10)
    assert (late.id, late.session_id) == (job.id, None)
    assert (await store.stats("default")).oldest_pending_at == job.run_at
    assert await depth(store) == (1, 0)


async def test_statuses_of_any_shape_are_counted_under_their_name(store: MongoStore) -> None:
    from dataclasses import replace

    from store_kit import graded

    hands = await Hands.open(store)
    await store.submit([new()])
    job = await hands.one()
    for place, status in enumerate(("a.b", "$x", "50%", "%2E", "x\x00y")):
        await store.save_paper(fence(job), replace(graded(place), status=status))
    for _ in range(30):
        await store.submit([new()])
    assert (await store.stats("default")).papers_total == dict.fromkeys(("a.b", "$x", "50%", "%2E", "x\x00y"), 1)
    assert (await store.stats("default")).papers_total == dict.fromkeys(("a.b", "$x", "50%", "%2E", "x\x00y"), 1)


# ---------------------------------------------------------------- without transactions


@pytest.fixture
async def standalone() -> AsyncIterator[MongoStore]:
    async with handle(mongo_server.emptied(mongo_server.standalone())) as made:
        yield made


async def test_a_standalone_server_counts_and_says_where_it_stops(standalone: MongoStore, monkeypatch: Any) -> None:
    monkeypatch.setattr(stats, "CAP", 10)
    await standalone.submit([new() for _ in range(10)])
    found = await standalone.stats("default")
    assert (found.pending, found.depth_exact) == (10, True)
    await standalone.submit([new()])
    found = await standalone.stats("default")
    assert (found.pending, found.depth_exact, found.enqueued_total) == (10, False, 11)


@pytest.mark.parametrize("done", [False, True])
async def test_a_repair_broken_off_on_a_standalone_server_is_in_the_trail_all_the_same(
    standalone: MongoStore, monkeypatch: Any, done: bool
) -> None:
    """The entry comes first: whatever breaks, no job was ever changed without one."""
    [job_id] = await standalone.submit([new()])
    job = await get(standalone, job_id)

    async def broken(*args: Any, **kwargs: Any) -> None:
        raise StoreUnavailable("the process died here")

    with monkeypatch.context() as patched:
        patched.setattr(audit, "conclude" if done else "marked", broken)
        if not done:
            from gradewatch.stores.mongo import repair

            patched.setattr(repair, "_change", broken)
        with pytest.raises(StoreUnavailable):
            await repaired(standalone, action(ActionKind.EXPIRE, job))
    [entry] = await standalone.audit()
    assert (entry.subject, entry.outcome) == (job_id, Outcome.FAILED)
    assert "not known yet" in entry.message
    assert (await standalone.control({ActionKind.EXPIRE: 600})).spent == {(ActionKind.EXPIRE, "default"): 1}

    now = await standalone._data.now()
    standalone._data.clock = lambda: now + 120_000_000
    await standalone.control({})
    [entry] = await standalone.audit()
    assert entry.outcome is (Outcome.APPLIED if done else Outcome.FAILED)
    assert "not known yet" not in entry.message
    assert (await get(standalone, job_id)).state is (JobState.FAILED if done else JobState.PENDING)
    if done:
        assert [undone for _, undone in await standalone.undo("sweep-1", by="ann")] == [True]
