"""Every store: what a probe reads of a queue, exact through every change; and listings."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from backends import START, StepClock
from store_kit import Hands, action, fence, get, graded, ids, new, repaired, restart, running

from gradewatch.errors import NotFound
from gradewatch.model import RUN_BOUNDS, WAIT_BOUNDS, ActionKind, FinishKind, JobState, Outcome
from gradewatch.ports import Store

NO_FINISHES = {"succeeded": 0, "failed": 0, "cancelled": 0}


async def depth(store: Store) -> tuple[int, int]:
    """(pending, running), after comparing the counters with a real count."""
    stats = await store.stats("default")
    assert stats.depth_exact
    for state, counted in ((JobState.PENDING, stats.pending), (JobState.RUNNING, stats.running)):
        assert len(await store.jobs(queue="default", state=state, limit=1000)) == counted
    return stats.pending, stats.running


async def test_an_unknown_queue_is_an_empty_one(store: Store) -> None:
    stats = await store.stats("nowhere")
    assert (stats.pending, stats.running, stats.enqueued_total, stats.retries_total) == (0, 0, 0, 0)
    assert (stats.oldest_pending_at, stats.oldest_running_at, stats.last_started_at) == (None, None, None)
    assert stats.finished_total == NO_FINISHES
    assert stats.wait_seconds is not None
    assert (stats.wait_seconds.bounds, stats.wait_seconds.count) == (WAIT_BOUNDS, 0)


async def test_depth_is_exact_through_every_change(store: Store, clock: StepClock) -> None:
    await store.submit([new(max_attempts=9) for _ in range(10)])
    assert await depth(store) == (10, 0)
    hands = await Hands.open(store)
    jobs = await hands.claim(8)
    assert await depth(store) == (2, 8)
    for job, kind in zip(jobs, FinishKind, strict=False):
        assert await hands.finish(job, kind, delay=5)
    assert await depth(store) == (4, 4)
    await repaired(store, action(ActionKind.REQUEUE, jobs[4]), action(ActionKind.FAIL, jobs[5]), sweep="a")
    await repaired(store, action(ActionKind.EXPIRE, jobs[6]), sweep="a")
    assert await depth(store) == (5, 1)
    await store.operate(jobs[7].id, "cancel", by="ann", sweep="b", message="")
    assert await depth(store) == (5, 0)
    assert len(await store.undo("a", by="ann")) == 3
    assert await depth(store) == (7, 0)
    await store.operate(jobs[7].id, "requeue", by="ann", sweep="b", message="")
    assert await depth(store) == (8, 0)
    clock.step(100)
    assert await store.purge(finished_age=50, audit_age=1000, limit=100) == 2
    assert await depth(store) == (8, 0)
    stats = await store.stats("default")
    assert (stats.enqueued_total, stats.retries_total) == (10, 1)
    assert stats.finished_total == {"succeeded": 1, "failed": 3, "cancelled": 1}, "totals never fall"


async def test_queues_are_counted_apart(store: Store) -> None:
    await store.submit([new(queue="a"), new(queue="a"), new(queue="b")])
    assert [(await store.stats(queue)).pending for queue in ("a", "b")] == [2, 1]


async def test_the_oldest_pending_job_is_the_longest_eligible_one(store: Store, clock: StepClock) -> None:
    await store.submit([new(delay=50)])
    clock.step(10)
    assert (await store.stats("default")).oldest_pending_at is None
    [job_id] = await store.submit([new(priority=-3)])
    clock.step(5)
    await store.submit([new(priority=3)])
    stats = await store.stats("default")
    assert stats.oldest_pending_at == (await get(store, job_id)).run_at
    assert stats.now - stats.oldest_pending_at == timedelta(seconds=5)


async def test_oldest_running_and_last_times(store: Store, clock: StepClock) -> None:
    hands, first = await running(store)
    clock.step(10)
    await store.submit([new()])
    second = await hands.one()
    stats = await store.stats("default")
    assert (stats.oldest_running_at, stats.last_started_at) == (first.started_at, second.started_at)
    assert stats.last_finished_at is None
    clock.step(10)
    assert await hands.finish(first)
    stats = await store.stats("default")
    assert (stats.oldest_running_at, stats.last_finished_at) == (second.started_at, stats.now)
    clock.step(10)
    await repaired(store, action(ActionKind.EXPIRE, second))
    now = await store.stats("default")
    assert now.last_finished_at == stats.last_finished_at, "a repair is no proof that a worker works"


@pytest.mark.parametrize(
    ("seconds", "bucket"), [(0, 0), (0.5, 0), (0.500001, 1), (60, 5), (61, 6), (3600, 10), (3601, 11), (10**6, 11)]
)
async def test_waits_and_runs_fall_into_their_buckets(
    store: Store, clock: StepClock, seconds: float, bucket: int
) -> None:
    await store.submit([new(delay=7)])
    clock.step(7 + seconds)
    hands = await Hands.open(store)
    job = await hands.one()
    clock.step(seconds)
    assert await hands.finish(job, FinishKind.FAIL)
    stats = await store.stats("default")
    expected = tuple(int(place == bucket) for place in range(len(RUN_BOUNDS) + 1))
    assert stats.wait_seconds is not None
    assert (stats.wait_seconds.counts, stats.wait_seconds.total) == (expected, seconds)
    assert {state: run.counts for state, run in stats.run_seconds.items()} == {"failed": expected}


async def test_a_released_job_has_waited_since_it_was_first_eligible(store: Store, clock: StepClock) -> None:
    hands, job = await running(store)
    clock.step(100)
    assert await hands.finish(job, FinishKind.RELEASE)
    await hands.claim()
    stats = await store.stats("default")
    assert stats.wait_seconds is not None
    assert stats.wait_seconds.total == 100
    assert stats.run_seconds == {}


async def test_papers_are_counted_by_status(store: Store) -> None:
    _, job = await running(store)
    for index, status in enumerate(("graded", "graded", "needs_review", "failed")):
        await store.save_paper(fence(job), graded(index, status))
    assert (await store.stats("default")).papers_total == {"graded": 2, "needs_review": 1, "failed": 1}


# ---------------------------------------------------------------- listings


async def test_jobs_are_listed_newest_first_by_page(store: Store, clock: StepClock) -> None:
    submitted = await store.submit([new(queue=f"q{n % 3}") for n in range(25)])
    newest = submitted[::-1]
    listed: list[str] = []
    while page := await store.jobs(limit=10, before=listed[-1] if listed else None):
        listed += ids(page)
    assert listed == newest
    assert ids(await store.jobs(queue="q1", limit=3)) == newest[2::3][:3]
    assert await store.jobs(queue="nowhere") == []


async def test_a_page_survives_the_job_it_is_named_after(store: Store, clock: StepClock) -> None:
    hands, job = await running(store)
    assert await hands.finish(job)
    clock.step(10)
    [younger] = await store.submit([new()])
    assert await store.purge(finished_age=5, audit_age=5, limit=10) == 1
    assert await store.jobs(before=job.id) == []
    assert ids(await store.jobs(before=f"{START + 10**12:014x}")) == [younger]


async def test_jobs_are_listed_by_state(store: Store) -> None:
    hands = await Hands.open(store, ("a", "b"))
    submitted = await store.submit([new(queue=queue) for queue in "abab"])
    for job in await hands.claim(3, queues=["a", "b"]):
        assert await hands.finish(job, FinishKind.FAIL)
    assert ids(await store.jobs(state=JobState.FAILED)) == submitted[2::-1]
    assert ids(await store.jobs(state=JobState.PENDING, queue="b")) == submitted[3:]
    assert ids(await store.jobs(state=JobState.FAILED, limit=1, before=submitted[2])) == [submitted[1]]


async def differs(store: Store, before: object) -> object:
    """The first token that is another; a store that is told of changes may be told a moment later."""
    async with asyncio.timeout(5):
        while (token := await store.change_token()) == before:
            await asyncio.sleep(0.001)
    return token


async def test_the_change_token_tells_that_somebody_wrote(store: Store, other: Store) -> None:
    before = await store.change_token()
    assert await store.change_token() == before
    await other.submit([new()])
    after = await differs(store, before)
    await store.submit([new()])
    await differs(store, after)


async def test_an_outcome_recorded_without_a_row_changes_no_depth(store: Store) -> None:
    await store.record(restart(), Outcome.SUPPRESSED, sweep="s", by="w")
    assert await depth(store) == (0, 0)


@pytest.mark.parametrize("word", ["\ud800", "", "\x00", "x" * 10_000, "'; DROP TABLE jobs; --"])
async def test_words_of_any_shape_find_nothing_and_break_nothing(store: Store, word: str) -> None:
    """Such words come in by HTTP and the command line."""
    [job_id] = await store.submit([new()])
    assert (await store.job(word), await store.papers(word)) == (None, [])
    assert await store.jobs(queue=word) == []
    assert len(await store.jobs(before=word)) <= 1
    assert await store.audit(sweep=word, subject=word, before=10**30) == []
    assert await store.undo(word, by="ann") == []
    assert (await store.stats(word)).pending == 0
    with pytest.raises(NotFound):
        await store.operate(word, "fail", by=word, sweep=word, message=word)
    assert (await store.pause(float("nan"), by=word, reason=word)).until is not None
    await Hands.open(store, (word,))
    assert ids(await store.jobs(limit=10**30)) == [job_id]
