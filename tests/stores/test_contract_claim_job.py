"""Every store: claiming one job by its id, as `gradewatch jobs run` does."""

from __future__ import annotations

import asyncio

import pytest
from backends import StepClock
from store_kit import Hands, fence, get, new, running

from gradewatch.errors import Conflict, NotFound
from gradewatch.model import Claimed, FinishKind, JobState
from gradewatch.ports import Store


async def test_that_very_job_is_given_and_no_other(store: Store, clock: StepClock) -> None:
    hands = await Hands.open(store, queues=("elsewhere",))
    first, wanted = await store.submit([new(), new("unknown-kind", {"text": "\x00"}, delay=60)])
    clock.step(1)
    job = await store.claim_job(hands.session, wanted)
    assert job == await get(store, wanted)
    assert (job.state, job.attempt, job.token, job.session_id) == (JobState.RUNNING, 1, 1, hands.session)
    assert (await get(store, first)).state is JobState.PENDING
    reply = await store.beat(hands.session, loop_age=0.0, busy=1)
    assert reply.held == {Claimed(wanted, 1)}
    assert await hands.finish(job)


async def test_a_job_that_is_not_pending_is_refused_in_words(store: Store) -> None:
    hands, job = await running(store)
    with pytest.raises(Conflict, match=f"{job.id} is running; only a pending job"):
        await store.claim_job(hands.session, job.id)
    assert await get(store, job.id) == job
    assert await hands.finish(job, FinishKind.SUCCEED)
    with pytest.raises(Conflict, match="is succeeded"):
        await store.claim_job(hands.session, job.id)


async def test_what_is_not_there_cannot_be_claimed(store: Store) -> None:
    hands = await Hands.open(store)
    with pytest.raises(NotFound, match="no-such-job"):
        await store.claim_job(hands.session, "no-such-job")


async def test_an_ended_session_claims_no_job(store: Store) -> None:
    hands = await Hands.open(store)
    [job_id] = await store.submit([new()])
    await hands.end()
    with pytest.raises(Conflict, match="has ended"):
        await store.claim_job(hands.session, job_id)
    assert (await get(store, job_id)).state is JobState.PENDING


async def test_of_two_that_want_it_one_gets_it(store: Store, other: Store) -> None:
    one, two = await Hands.open(store), await Hands.open(other)
    [job_id] = await store.submit([new()])
    answers = await asyncio.gather(
        store.claim_job(one.session, job_id), other.claim_job(two.session, job_id), return_exceptions=True
    )
    won = [answer for answer in answers if not isinstance(answer, BaseException)]
    assert [type(answer) for answer in answers if isinstance(answer, BaseException)] == [Conflict]
    assert len(won) == 1
    assert fence(won[0]) == Claimed(job_id, 1)
