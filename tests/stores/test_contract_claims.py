"""Every store: submitting jobs, and who gets which of them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import chain

import pytest
from backends import START, Backend, StepClock, opened
from store_kit import Hands, action, get, ids, new, repaired, running

from gradewatch.errors import Conflict, PayloadError
from gradewatch.model import ActionKind, FinishKind, JobState
from gradewatch.ports import Store

NINE = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


async def test_a_submitted_job_is_kept_as_given(store: Store) -> None:
    [job_id] = await store.submit(
        [new(payload={"papers": [], "text": "ß\u2028\x00"}, priority=7, max_attempts=5, progress_total=30, delay=60)]
    )
    job = await get(store, job_id)
    assert (job.state, job.priority, job.max_attempts, job.progress_total) == (JobState.PENDING, 7, 5, 30)
    assert (job.attempt, job.token, job.lost, job.run_alone) == (0, 0, 0, False)
    assert job.payload == {"papers": [], "text": "ß\u2028\x00"}
    assert (job.session_id, job.started_at, job.finished_at, job.result, job.error) == (None, None, None, None, None)
    assert (job.created_at, job.run_at, job.updated_at) == (NINE, NINE + timedelta(seconds=60), NINE)


async def test_times_are_utc_by_the_stores_clock(store: Store, clock: StepClock) -> None:
    clock.step(0.123456)
    _, job = await running(store)
    assert job.started_at == datetime(2026, 3, 2, 9, 0, 0, 123456, tzinfo=UTC)
    assert job.started_at.tzinfo is UTC
    facts = await store.check([])
    assert facts.now == NINE + timedelta(microseconds=123456)
    assert facts.clock_offset == pytest.approx((START / 1e6) - datetime.now(UTC).timestamp(), abs=5)


async def test_ids_follow_the_order_of_submission(store: Store, clock: StepClock) -> None:
    first = await store.submit([new() for _ in range(20)])
    clock.step(0.001)
    second = await store.submit([new() for _ in range(20)])
    assert sorted(first + second) == first + second
    assert len(set(first + second)) == 40


async def test_a_key_makes_submission_idempotent_within_its_queue(store: Store, other: Store) -> None:
    [first] = await store.submit([new(key="exam-1")])
    again = await other.submit([new(key="exam-1"), new(), new(key="exam-1"), new(key="exam-1", queue="late")])
    assert again[0] == again[2] == first
    assert len({*again}) == 3
    assert (await store.stats("default")).enqueued_total == 2


async def test_a_submission_is_all_or_nothing(store: Store) -> None:
    with pytest.raises(PayloadError, match="JSON"):
        await store.submit([new(), new(payload={"bytes": b"x"})])
    assert await store.jobs() == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"payload": {"a": float("nan")}},
        {"payload": {"a": {1, 2}}},
        {"payload": {"a": "x" * (9 << 20)}},
        {"queue": "\ud800"},
        {"max_attempts": 0},
        {"priority": 2**70},
        {"progress_total": -1},
        {"delay": -1.0},
        {"delay": float("nan")},
        {"delay": 1e12},
    ],
)
async def test_what_cannot_be_kept_is_refused(store: Store, wrong: dict[str, object]) -> None:
    with pytest.raises(PayloadError):
        await store.submit([new(**wrong)])  # type: ignore[arg-type]


async def test_claims_go_by_priority_then_age(store: Store, clock: StepClock) -> None:
    hands = await Hands.open(store)
    [old] = await store.submit([new()])
    clock.step(1)
    [young, urgent, later] = await store.submit([new(), new(priority=5), new(priority=-1)])
    assert ids(await hands.claim(2)) == [urgent, old]
    assert ids(await hands.claim()) == [young, later]
    assert await hands.claim() == []


async def test_claims_merge_several_queues_in_one_order(store: Store, clock: StepClock) -> None:
    hands = await Hands.open(store)
    expected = []
    for queue in ("a", "b", "a", "b", "c"):
        expected += await store.submit([new(queue=queue)])
        clock.step(1)
    [first] = await store.submit([new(queue="b", priority=1)])
    claimed = [ids(await hands.claim(2, queues=["b", "a", "a"])) for _ in range(3)]
    assert claimed == [[first, expected[0]], expected[1:3], expected[3:4]]


async def test_a_claim_charges_an_attempt_and_raises_the_token(store: Store, clock: StepClock) -> None:
    hands = await Hands.open(store)
    [job_id] = await store.submit([new()])
    clock.step(3)
    [job] = await hands.claim()
    assert job == await get(store, job_id)
    assert (job.state, job.attempt, job.token, job.session_id) == (JobState.RUNNING, 1, 1, hands.session)
    assert job.started_at == job.updated_at == NINE + timedelta(seconds=3)
    assert await hands.finish(job, FinishKind.RETRY)
    [again] = await hands.claim()
    assert (again.attempt, again.token) == (2, 2)


async def test_run_at_is_respected(store: Store, clock: StepClock) -> None:
    hands = await Hands.open(store)
    await store.submit([new(delay=10, priority=9)])
    [now] = await store.submit([new()])
    assert ids(await hands.claim()) == [now]
    clock.step(9.999999)
    assert await hands.claim() == []
    clock.step(0.000001)
    assert len(await hands.claim()) == 1


async def test_a_clock_stepped_back_strands_no_job(store: Store, clock: StepClock) -> None:
    hands = await Hands.open(store)
    await store.submit([new(), new()])
    retried = await hands.one()
    assert await hands.finish(retried, FinishKind.RETRY, delay=2)
    clock.step(-3600)
    assert len(await hands.claim()) == 2


async def test_a_page_of_ineligible_jobs_hides_nothing_behind_it(store: Store) -> None:
    hands = await Hands.open(store)
    await store.submit([new(priority=9, delay=60) for _ in range(150)])
    await store.submit([new("unknown-kind", priority=8) for _ in range(150)])
    [job_id] = await store.submit([new()])
    assert ids(await hands.claim(1)) == [job_id]


@pytest.mark.parametrize(
    ("queues", "kinds", "limit"), [([], ["grade"], 5), (["default"], [], 5), (["default"], ["grade"], 0)]
)
async def test_who_asks_for_nothing_gets_nothing(store: Store, queues: list[str], kinds: list[str], limit: int) -> None:
    hands = await Hands.open(store)
    await store.submit([new()])
    assert await hands.claim(limit, queues, kinds) == []


async def test_an_ended_session_claims_nothing(store: Store) -> None:
    hands = await Hands.open(store)
    [job_id] = await store.submit([new()])
    await hands.end()
    with pytest.raises(Conflict, match="ended"):
        await hands.claim()
    with pytest.raises(Conflict):
        await store.claim("no-such-session", ["default"], ["grade"], 1)
    assert (await get(store, job_id)).state is JobState.PENDING


async def test_two_claimers_never_get_one_job(backend: Backend) -> None:
    """Five handles, each with its own connections as another process would have, race for 300 jobs."""
    async with opened(backend.handle(None)) as store:
        submitted = await store.submit([new() for _ in range(300)])

        async def drain(size: int) -> list[str]:
            async with opened(backend.handle(None)) as mine:
                hands, got = await Hands.open(mine), []
                while batch := await hands.claim(size):
                    got += ids(batch)
                return got

        shares = await asyncio.gather(*(drain(size) for size in (1, 2, 3, 5, 7)))
        assert sorted(chain(*shares)) == sorted(submitted)


# ---------------------------------------------------------------- run alone


async def suspects(store: Store, count: int) -> list[str]:
    """Jobs whose worker died with all of them in hand: each must run alone now."""
    hands = await Hands.open(store)
    await store.submit([new(priority=1) for _ in range(count)])
    held = await hands.claim()
    await hands.end()
    await repaired(store, *(action(ActionKind.REQUEUE, job, run_alone=True) for job in held))
    return ids(held)


async def test_a_suspect_runs_by_itself(store: Store) -> None:
    [first, second] = await suspects(store, 2)
    hands = await Hands.open(store)
    [job] = await hands.claim()
    assert (job.id, job.run_alone) == (first, True)
    [ordinary] = await store.submit([new(priority=9)])
    assert await hands.claim() == [], "nothing may join a suspect"
    assert await hands.finish(job)
    [job] = await hands.claim()
    assert job.id == ordinary
    assert await hands.claim() == [], "a suspect joins nothing"
    assert await hands.finish(job)
    assert ids(await hands.claim()) == [second]


async def test_a_suspect_waits_for_an_empty_session_and_lets_nobody_past(store: Store) -> None:
    [ordinary] = await store.submit([new(priority=5)])
    hands = await Hands.open(store)
    [job] = await hands.claim()
    assert job.id == ordinary
    [suspect] = await suspects(store, 1)
    await store.submit([new()])
    assert await hands.claim() == []
    assert await hands.finish(job)
    assert ids(await hands.claim()) == [suspect]


async def test_what_stands_before_a_suspect_is_given_and_nothing_behind(store: Store) -> None:
    [suspect] = await suspects(store, 1)
    [urgent] = await store.submit([new(priority=9)])
    await store.submit([new()])
    hands = await Hands.open(store)
    assert ids(await hands.claim()) == [urgent]
    another = await Hands.open(store)
    assert ids(await another.claim()) == [suspect]
