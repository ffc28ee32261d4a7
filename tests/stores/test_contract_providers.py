"""Every store: pages that were paid for, what was spent, troubles at providers, and waits that do not count."""

from __future__ import annotations

import asyncio

import pytest
from backends import StepClock
from store_kit import Hands, fence, new, running

from gradewatch.errors import Conflict
from gradewatch.model import Allowance, Code, CredentialFacts, FinishKind, JobRef, JobState, PageText
from gradewatch.ports import Store

AMPLE = Allowance(1000, 1_000_000)


async def overdue(store: Store, age: float) -> list[JobRef]:
    return await store.overdue("default", JobState.RUNNING, age, kinds=None, limit=10)


# ---------------------------------------------------------------- waits


async def test_a_wait_is_taken_off_the_time_a_job_ran(store: Store, clock: StepClock) -> None:
    _, job = await running(store)
    clock.step(100)
    await store.credit_wait(fence(job), 60.0)
    assert [seen.waited for seen in await overdue(store, 39)] == [60.0]
    assert await overdue(store, 41) == []


async def test_a_wait_told_again_or_too_late_is_not_credited_twice(store: Store, clock: StepClock) -> None:
    _, job = await running(store)
    clock.step(100)
    for seconds in (60.0, 60.0, 20.0):
        await store.credit_wait(fence(job), seconds)
    assert [seen.waited for seen in await overdue(store, 0)] == [60.0]


async def test_the_next_claim_has_waited_for_nothing(store: Store, clock: StepClock) -> None:
    hands, job = await running(store)
    await store.credit_wait(fence(job), 60.0)
    assert await hands.finish(job, FinishKind.RELEASE)
    again = await hands.one()
    clock.step(1)
    assert [(seen.token, seen.waited) for seen in await overdue(store, 0)] == [(again.token, 0.0)]


async def test_a_wait_under_a_lost_claim_is_refused(store: Store, clock: StepClock) -> None:
    hands, job = await running(store)
    assert await hands.finish(job, FinishKind.RELEASE)
    await hands.one()
    clock.step(1)
    with pytest.raises(Conflict):
        await store.credit_wait(fence(job), 60.0)
    assert [seen.waited for seen in await overdue(store, 0)] == [0.0]


# ---------------------------------------------------------------- pages


async def test_pages_are_found_again_by_whoever_asks(store: Store, other: Store) -> None:
    await store.keep_page("k1", PageText("gravity, ünïcode", 0.75, "vision"))
    await store.keep_page("k2", PageText("", 0.0))
    found = await other.pages(["k1", "k2", "k3"])
    assert set(found) == {"k1", "k2"}
    assert (found["k1"].text, found["k1"].confidence) == ("gravity, ünïcode", 0.75)
    assert await store.pages([]) == {}


async def test_pages_and_spending_go_with_age(store: Store, clock: StepClock) -> None:
    await store.keep_page("old", PageText("x", 1.0))
    await store.reserve("job-1", 10, per_job=AMPLE, per_day=AMPLE)
    clock.step(50)
    await store.keep_page("new", PageText("y", 1.0))
    clock.step(60)
    assert await store.purge(finished_age=100, audit_age=100, limit=100) == 3, "a page, a job's spending, a day's"
    assert set(await store.pages(["old", "new"])) == {"new"}


# ---------------------------------------------------------------- spending


async def test_a_jobs_allowance_of_calls(store: Store) -> None:
    two = Allowance(2, 1_000_000)
    said = [await store.reserve("job-1", 0, per_job=two, per_day=AMPLE) for _ in range(4)]
    assert said == ["", "", "job", "job"]
    assert await store.reserve("job-2", 0, per_job=two, per_day=AMPLE) == ""


async def test_a_days_allowance_is_over_all_jobs_and_renewed_at_midnight(store: Store, clock: StepClock) -> None:
    two = Allowance(2, 1_000_000)
    said = [await store.reserve(f"job-{n}", 0, per_job=AMPLE, per_day=two) for n in range(3)]
    assert said == ["", "", "day"]
    clock.step(86_400)
    assert await store.reserve("job-3", 0, per_job=AMPLE, per_day=two) == ""


async def test_tokens_are_settled_to_what_was_taken(store: Store) -> None:
    thousand = Allowance(100, 1000)
    assert await store.reserve("job-1", 900, per_job=thousand, per_day=AMPLE) == ""
    assert await store.reserve("job-1", 900, per_job=thousand, per_day=AMPLE) == "job"
    await store.settle("job-1", 50 - 900)
    assert await store.reserve("job-1", 900, per_job=thousand, per_day=AMPLE) == ""
    assert await store.reserve("job-1", 51, per_job=thousand, per_day=AMPLE) == "job"
    await store.settle("job-1", -5000)
    assert await store.reserve("job-1", 1000, per_job=thousand, per_day=AMPLE) == "", "never less than nothing"


async def test_nothing_is_allowed_by_an_allowance_of_nothing(store: Store) -> None:
    assert await store.reserve("job-1", 0, per_job=Allowance(0, 10), per_day=AMPLE) == "job"
    assert await store.reserve("job-1", 11, per_job=AMPLE, per_day=Allowance(10, 10)) == "day"


async def test_racing_workers_do_not_pass_an_allowance(store: Store, other: Store) -> None:
    ten = Allowance(10, 1_000_000)
    said = await asyncio.gather(*(each.reserve("job-1", 1, per_job=ten, per_day=AMPLE) for each in (store, other) * 15))
    assert said.count("") == 10


# ---------------------------------------------------------------- troubles


def trouble(code: Code = Code.PROVIDER_UNAVAILABLE, message: str = "it answered 503") -> CredentialFacts:
    return CredentialFacts("GROQ_API_KEY", "groq", code, message, "wait")


async def test_a_trouble_is_believed_until_it_lapses_is_cleared_or_told_anew(
    store: Store, other: Store, clock: StepClock
) -> None:
    await store.tell_trouble(trouble(), lasts=30)
    assert await other.troubles() == [trouble()]
    await other.tell_trouble(trouble(Code.CREDENTIAL_INVALID, "401"), lasts=30)
    assert await store.troubles() == [trouble(Code.CREDENTIAL_INVALID, "401")]
    clock.step(31)
    assert await store.troubles() == []
    await store.tell_trouble(trouble(), lasts=30)
    await other.clear_trouble("groq")
    assert await store.troubles() == []


async def test_jobs_are_submitted_and_claimed_as_ever_beside_all_this(store: Store) -> None:
    hands = await Hands.open(store)
    await store.submit([new()])
    job = await hands.one()
    await store.credit_wait(fence(job), 1.0)
    assert await hands.finish(job)
