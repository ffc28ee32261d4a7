"""Every store: what a worker writes about a job it holds, fenced by its token; and its session."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from backends import StepClock
from store_kit import Hands, action, fence, get, graded, new, new_session, repaired, running

from gradewatch.errors import Conflict, PayloadError
from gradewatch.model import ActionKind, Claimed, Finish, FinishKind, Job, JobError, JobState
from gradewatch.ports import Store

WRONG = JobError("provider_down", "The reader did not answer.")


async def test_progress_and_papers_are_kept(store: Store) -> None:
    _, job = await running(store, progress_total=3)
    await store.progress(fence(job), 0, 3, "reading")
    await store.save_paper(fence(job), graded(2))
    await store.save_paper(fence(job), replace(graded(0, "failed"), marks=None, error=WRONG))
    now = await get(store, job.id)
    assert (now.progress_done, now.progress_total, now.status_message) == (2, 3, "reading")
    papers = await store.papers(job.id)
    assert papers == [replace(graded(0, "failed"), marks=None, error=WRONG), graded(2)]


async def test_a_paper_written_twice_says_so_and_counts_once(store: Store) -> None:
    _, job = await running(store)
    await store.save_paper(fence(job), graded(0, "needs_review"))
    await store.save_paper(fence(job), graded(0))
    [paper] = await store.papers(job.id)
    assert (paper.status, paper.times_written) == ("graded", 2)
    assert (await get(store, job.id)).progress_done == 1


@pytest.mark.parametrize("error", [None, WRONG], ids=["graded", "failed"])
async def test_a_paper_saved_again_because_the_answer_got_lost_was_written_once(
    store: Store, error: JobError | None
) -> None:
    hands, job = await running(store, max_attempts=3)
    paper = graded(0) if error is None else replace(graded(0, "failed"), marks=None, error=error)
    for _ in range(3):
        await store.save_paper(fence(job), paper)
    assert [p.times_written for p in await store.papers(job.id)] == [1]
    assert (await get(store, job.id)).progress_done == 1
    assert sum((await store.stats("default")).papers_total.values()) == 1

    await store.finish([Finish(fence(job), FinishKind.RELEASE)])
    again = await hands.one()
    await store.save_paper(fence(again), paper)
    assert [p.times_written for p in await store.papers(job.id)] == [2], "another claim graded it anew"


async def test_a_broken_text_is_kept_as_far_as_it_goes(store: Store) -> None:
    _, job = await running(store)
    await store.progress(fence(job), 1, 1, "page \ud800")
    assert (await get(store, job.id)).status_message == "page ?"


async def test_an_error_is_kept_to_its_end_whatever_characters_are_in_it(store: Store) -> None:
    message = "it answered \x00 \"['{\\\\u0000}']\" \u2028 \ud83d\ude00 \N{GRINNING FACE} and broke off \ud800"
    _, job = await running(store)
    assert await store.finish([Finish(fence(job), FinishKind.FAIL, error=JobError("failed", message))]) == [True]
    error = (await get(store, job.id)).error
    assert error is not None
    kept = error.message.replace("\x00", "\ufffd")  # not every store can hold a NUL
    assert kept.startswith("it answered \ufffd \"['{\\\\u0000}']\" \u2028 ")
    assert kept.endswith("\N{GRINNING FACE} and broke off ?")


async def test_a_detail_that_json_cannot_hold_is_refused(store: Store) -> None:
    _, job = await running(store)
    with pytest.raises(PayloadError, match=r"paper-0\.pdf"):
        await store.save_paper(fence(job), replace(graded(0), detail={"x": {1}}))


async def lost_claims(store: Store) -> list[tuple[str, Claimed]]:
    """Claims that are no longer held, one for each way to lose it."""
    claims = []
    hands, job = await running(store)
    claims.append(("a wrong token", Claimed(job.id, job.token + 1)))
    claims.append(("an unknown job", Claimed("no-such-job", 1)))
    assert await hands.finish(job)
    claims.append(("finished", fence(job)))
    hands, job = await running(store)
    await repaired(store, action(ActionKind.REQUEUE, job))
    claims.append(("taken back", fence(job)))
    hands, job = await running(store)
    await repaired(store, action(ActionKind.REQUEUE, job))
    assert [again.token for again in await hands.claim() if again.id == job.id] == [job.token + 1]
    claims.append(("claimed again", fence(job)))
    hands, job = await running(store)
    await store.operate(job.id, "cancel", by="ann", sweep="s", message="")
    claims.append(("cancelled", fence(job)))
    return claims


async def test_every_write_of_a_worker_is_fenced_by_its_token(store: Store) -> None:
    for how, claim in await lost_claims(store):
        before = await store.job(claim.id)
        with pytest.raises(Conflict):
            await store.progress(claim, 9, 9, "late")
        with pytest.raises(Conflict):
            await store.save_paper(claim, graded(0))
        for kind in FinishKind:
            assert await store.finish([Finish(claim, kind, {"late": True}, WRONG)]) == [False], (how, kind)
        assert await store.job(claim.id) == before, how
        assert await store.papers(claim.id) == [], how


# ---------------------------------------------------------------- finish


async def finished(store: Store, clock: StepClock, kind: FinishKind, **more: object) -> tuple[Job, Job]:
    hands, job = await running(store, max_attempts=2)
    clock.step(5)
    assert await hands.finish(job, kind, **more)
    return job, await get(store, job.id)


async def test_succeed(store: Store, clock: StepClock) -> None:
    job, now = await finished(store, clock, FinishKind.SUCCEED, result={"marks": 12.5})
    assert (now.state, now.result, now.error, now.attempt) == (JobState.SUCCEEDED, {"marks": 12.5}, None, 1)
    assert now.finished_at == now.updated_at == job.run_at + timedelta(seconds=5)


async def test_fail(store: Store, clock: StepClock) -> None:
    _, now = await finished(store, clock, FinishKind.FAIL, error=WRONG)
    assert (now.state, now.error) == (JobState.FAILED, WRONG)
    _, now = await finished(store, clock, FinishKind.FAIL)
    assert now.error is not None
    assert now.error.code == "failed"


async def test_retry_keeps_the_attempt_and_waits_for_its_delay(store: Store, clock: StepClock) -> None:
    job, now = await finished(store, clock, FinishKind.RETRY, error=WRONG, delay=7.5)
    assert (now.state, now.attempt, now.token, now.error) == (JobState.PENDING, 1, job.token, WRONG)
    assert (now.session_id, now.started_at, now.finished_at) == (None, None, None)
    assert now.run_at == job.run_at + timedelta(seconds=12.5)


async def test_a_retry_without_attempts_left_fails(store: Store, clock: StepClock) -> None:
    hands, job = await running(store, max_attempts=1)
    assert await hands.finish(job, FinishKind.RETRY, error=WRONG, delay=5)
    now = await get(store, job.id)
    assert (now.state, now.error) == (JobState.FAILED, WRONG)
    assert await hands.claim() == []


async def test_release_gives_the_attempt_back_and_keeps_the_wait(store: Store, clock: StepClock) -> None:
    job, now = await finished(store, clock, FinishKind.RELEASE)
    assert (now.state, now.attempt, now.token, now.run_at) == (JobState.PENDING, 0, job.token, job.run_at)
    assert (now.session_id, now.started_at) == (None, None)
    assert len(await (await Hands.open(store)).claim()) == 1


async def test_a_batch_of_finishes_answers_each(store: Store) -> None:
    hands = await Hands.open(store)
    await store.submit([new() for _ in range(4)])
    jobs = await hands.claim()
    await repaired(store, action(ActionKind.REQUEUE, jobs[1]))
    kinds = [FinishKind.SUCCEED, FinishKind.SUCCEED, FinishKind.RETRY, FinishKind.RELEASE]
    finishes = [Finish(fence(job), kind) for job, kind in zip(jobs, kinds, strict=True)]
    assert await store.finish([*finishes, finishes[0]]) == [True, False, True, True, False]


async def test_a_result_that_cannot_be_kept_fails_its_own_job_alone(store: Store) -> None:
    hands = await Hands.open(store)
    await store.submit([new(), new()])
    one, two = await hands.claim()
    finishes = [Finish(fence(one), FinishKind.SUCCEED, {"x": object()}), Finish(fence(two), FinishKind.SUCCEED, {})]
    assert await store.finish(finishes) == [True, True]
    failed = await get(store, one.id)
    assert failed.error is not None
    assert (failed.state, failed.error.code) == (JobState.FAILED, "result_invalid")
    assert (await get(store, two.id)).state is JobState.SUCCEEDED


# ---------------------------------------------------------------- sessions


async def test_a_session_is_kept_as_given(store: Store, clock: StepClock) -> None:
    given = replace(new_session(queues=("a", "b")), target="worker-1", incarnation="spawn-7", http="127.0.0.1:9465")
    session_id = await store.open_session(given)
    [session] = await store.sessions()
    assert session.id == session_id
    for name in ("name", "queues", "slots", "host", "pid", "version", "target", "incarnation", "http"):
        assert getattr(session, name) == getattr(given, name)
    assert (session.beats, session.ended_at, session.started_at) == (0, None, session.beat_at)


async def test_a_beat_tells_the_worker_what_it_still_holds(store: Store, clock: StepClock) -> None:
    hands = await Hands.open(store)
    await store.submit([new() for _ in range(3)])
    one, two, three = await hands.claim()
    await store.operate(one.id, "cancel", by="ann", sweep="s", message="")
    assert await hands.finish(two)
    clock.step(3)
    reply = await store.beat(hands.session, loop_age=0.25, busy=2)
    assert reply.session_open
    assert reply.held == {fence(three)}
    [session] = await store.sessions()
    assert (session.beats, session.busy, session.loop_age) == (1, 2, 0.25)
    assert session.beat_at == session.started_at + timedelta(seconds=3)


async def test_a_beat_on_an_ended_session_says_so(store: Store) -> None:
    hands, _ = await running(store)
    await hands.end()
    reply = await store.beat(hands.session, loop_age=0, busy=1)
    assert (reply.session_open, reply.held) == (False, frozenset())
    [session] = await store.sessions()
    assert (session.beats, session.end_reason) == (0, "killed by SIGKILL")


async def test_a_session_ends_once_and_not_when_it_has_beaten_since(store: Store) -> None:
    hands = await Hands.open(store)
    await store.beat(hands.session, loop_age=0, busy=0)
    assert not await store.end_session(hands.session, "silent", beats=0)
    assert await store.end_session(hands.session, "silent", beats=1)
    assert not await store.end_session(hands.session, "again")
    assert not await store.end_session("no-such-session", "gone")


async def test_ended_sessions_are_listed_for_five_minutes(store: Store, clock: StepClock) -> None:
    gone, stays = await Hands.open(store), await Hands.open(store)
    await gone.end()
    clock.step(299)
    assert {session.id for session in await store.sessions()} == {gone.session, stays.session}
    clock.step(2)
    assert [session.id for session in await store.sessions()] == [stays.session]


async def test_the_store_remembers_which_queues_were_ever_served(store: Store) -> None:
    await (await Hands.open(store, ("a", "b"))).end()
    assert (await store.check(["a", "b", "c"])).session_ever == {"a": True, "b": True, "c": False}
