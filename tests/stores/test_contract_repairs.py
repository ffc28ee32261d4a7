"""Every store: the watch's guarded repairs, and the audit trail."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from backends import StepClock
from store_kit import KINDS, LOST, Hands, action, fence, get, graded, ids, new, ref, repaired, restart, running

from gradewatch.errors import Conflict
from gradewatch.model import ActionKind, FinishKind, Job, JobState, Outcome
from gradewatch.ports import Store

A, N = Outcome.APPLIED, Outcome.NOOP


async def outcome(store: Store, kind: ActionKind, job: Job, **changes: object) -> Outcome:
    [result] = await repaired(store, action(kind, job, **changes))
    return result.outcome


# ---------------------------------------------------------------- finding what to repair


async def test_overdue_pending_jobs_come_oldest_first(store: Store, clock: StepClock) -> None:
    expected = []
    for _ in range(3):
        expected += await store.submit([new()])
        clock.step(10)
    await store.submit([new(delay=100)])
    found = await store.overdue("default", JobState.PENDING, 10, kinds=KINDS, limit=10)
    assert [job.id for job in found] == expected[:2], "waiting for exactly 10 s is not overdue yet"
    assert found[0] == ref(await get(store, expected[0]))
    assert len(await store.overdue("default", JobState.PENDING, 5, kinds=None, limit=2)) == 2
    assert await store.overdue("elsewhere", JobState.PENDING, 0, kinds=None, limit=2) == []


async def test_overdue_running_jobs_are_counted_from_their_start(store: Store, clock: StepClock) -> None:
    await store.submit([new()])
    clock.step(100)
    job = await (await Hands.open(store)).one()
    clock.step(30)
    assert await store.overdue("default", JobState.RUNNING, 30, kinds=KINDS, limit=10) == []
    clock.step(0.5)
    [found] = await store.overdue("default", JobState.RUNNING, 30, kinds=KINDS, limit=10)
    assert found == ref(job)


async def test_unknown_kinds_hide_no_overdue_job(store: Store, clock: StepClock) -> None:
    await store.submit([new("unknown") for _ in range(120)])
    [known] = await store.submit([new()])
    clock.step(60)
    assert [job.id for job in await store.overdue("default", JobState.PENDING, 1, kinds=KINDS, limit=1)] == [known]


async def test_held_finds_jobs_of_absent_ended_and_missing_sessions(store: Store, clock: StepClock) -> None:
    ended, absent, alive = [await Hands.open(store) for _ in range(3)]
    await store.submit([new() for _ in range(4)])
    expected = []
    for hands in (ended, absent):
        clock.step(1)  # of two that began at one time neither is the older
        expected.append((await hands.one()).id)
    await alive.claim()
    await ended.end()
    found = await store.held("default", [absent.session], kinds=KINDS, limit=10)
    assert [job.id for job in found] == expected
    assert [job.id for job in await store.held("default", [], kinds=None, limit=10)] == expected[:1]
    assert await store.held("default", [absent.session], kinds=["other"], limit=10) == []


# ---------------------------------------------------------------- repair


async def test_expire(store: Store, clock: StepClock) -> None:
    [job_id] = await store.submit([new()])
    clock.step(600)
    assert await outcome(store, ActionKind.EXPIRE, await get(store, job_id)) is A
    job = await get(store, job_id)
    assert (job.state, job.error, job.attempt, job.lost) == (JobState.FAILED, LOST, 0, 0)
    assert job.finished_at == job.created_at + timedelta(seconds=600)
    _, job = await running(store)
    assert await outcome(store, ActionKind.EXPIRE, job) is A
    assert (await get(store, job.id)).state is JobState.FAILED


async def test_requeue_charges_the_attempt_and_counts_the_lost_worker(store: Store, clock: StepClock) -> None:
    _, job = await running(store, max_attempts=3)
    clock.step(20)
    assert await outcome(store, ActionKind.REQUEUE, job, run_alone=True) is A
    now = await get(store, job.id)
    assert (now.state, now.attempt, now.lost, now.run_alone) == (JobState.PENDING, 1, 1, True)
    assert (now.session_id, now.started_at, now.token) == (None, None, job.token)
    assert now.run_at == now.updated_at == job.run_at + timedelta(seconds=20)


async def test_every_recovery_charges_an_attempt_until_the_job_fails(store: Store) -> None:
    [job_id] = await store.submit([new(max_attempts=3)])
    for charged in (1, 2, 3):
        hands = await Hands.open(store)
        job = await hands.one()
        assert job.attempt == charged
        await hands.end()
        assert await outcome(store, ActionKind.REQUEUE, job) is A
    job = await get(store, job_id)
    assert (job.state, job.lost, job.error) == (JobState.FAILED, 3, LOST)
    assert (await store.audit(limit=1))[0].action == "fail"


async def test_fail_writes_the_reason(store: Store) -> None:
    _, job = await running(store)
    assert await outcome(store, ActionKind.FAIL, job) is A
    now = await get(store, job.id)
    assert (now.state, now.error, now.lost) == (JobState.FAILED, LOST, 1)


@pytest.mark.parametrize("kind", [ActionKind.EXPIRE, ActionKind.REQUEUE, ActionKind.FAIL])
async def test_a_job_finished_meanwhile_is_untouched(store: Store, kind: ActionKind) -> None:
    hands, job = await running(store)
    assert await hands.finish(job, result={"marks": 3})
    before = await get(store, job.id)
    assert await outcome(store, kind, job) is N
    assert await get(store, job.id) == before


@pytest.mark.parametrize("kind", [ActionKind.EXPIRE, ActionKind.REQUEUE, ActionKind.FAIL])
async def test_a_job_claimed_again_meanwhile_is_untouched(store: Store, other: Store, kind: ActionKind) -> None:
    hands, job = await running(store)
    assert await hands.finish(job, FinishKind.RETRY)
    [again] = await (await Hands.open(other)).claim()
    assert await outcome(store, kind, job) is N
    assert await outcome(store, kind, replace(again, token=job.token)) is N
    assert await get(store, job.id) == again


async def test_a_pending_job_claimed_or_released_meanwhile_is_not_expired(store: Store) -> None:
    [job_id] = await store.submit([new()])
    seen = await get(store, job_id)
    hands = await Hands.open(store)
    claimed = await hands.one()
    assert await outcome(store, ActionKind.EXPIRE, seen) is N
    assert await hands.finish(claimed, FinishKind.RELEASE)
    assert await outcome(store, ActionKind.EXPIRE, seen) is N
    assert (await get(store, job_id)).state is JobState.PENDING


async def test_a_job_put_back_by_hand_is_not_expired_for_its_old_wait(store: Store, clock: StepClock) -> None:
    [job_id] = await store.submit([new()])
    seen = await get(store, job_id)
    clock.step(600)
    for verb in ("cancel", "requeue"):
        await store.operate(job_id, verb, by="ann", sweep="s", message="")
    assert await outcome(store, ActionKind.EXPIRE, seen) is N


async def test_a_job_held_by_another_session_is_not_taken_back(store: Store) -> None:
    _, job = await running(store)
    for kind in (ActionKind.REQUEUE, ActionKind.FAIL):
        assert await outcome(store, kind, replace(job, session_id="another")) is N
    assert await get(store, job.id) == job


async def test_a_pending_job_is_not_requeued_and_a_missing_one_is_a_noop(store: Store) -> None:
    [job_id] = await store.submit([new()])
    job = await get(store, job_id)
    assert await outcome(store, ActionKind.REQUEUE, job) is N
    assert await outcome(store, ActionKind.EXPIRE, replace(job, id="no-such-job")) is N


async def test_a_batch_is_judged_row_by_row(store: Store, other: Store) -> None:
    hands = await Hands.open(store)
    await store.submit([new() for _ in range(450)])
    jobs = await hands.claim(450)
    finished = jobs[::3]
    for job in finished:
        assert await hands.finish(job)
    results = await repaired(other, *(action(ActionKind.REQUEUE, job) for job in [*jobs, jobs[1]]))
    assert [result.outcome for result in results] == [N if job in finished else A for job in jobs] + [N]
    assert [result.action.subject for result in results] == [*ids(jobs), jobs[1].id]
    assert (await store.stats("default")).pending == 300


async def test_papers_outlive_the_worker_that_wrote_them(store: Store) -> None:
    _, job = await running(store, progress_total=2)
    await store.save_paper(fence(job), graded(0))
    await repaired(store, action(ActionKind.REQUEUE, job))
    [again] = await (await Hands.open(store)).claim()
    assert (again.progress_done, [paper.index for paper in await store.papers(again.id)]) == (1, [0])


# ---------------------------------------------------------------- audit


async def test_each_repair_leaves_its_entry(store: Store, clock: StepClock) -> None:
    hands, job = await running(store, payload={"secret": "name of a pupil"})
    [late] = await store.submit([new()])
    clock.step(5)
    await repaired(store, action(ActionKind.REQUEUE, job), action(ActionKind.REQUEUE, await get(store, late)))
    noop, applied = await store.audit()
    assert (applied.outcome, noop.outcome) == (A, N)
    assert (applied.sweep, applied.by, applied.action, applied.queue) == ("sweep-1", "watch-1", "requeue", "default")
    assert (applied.subject, applied.reason, applied.at) == (job.id, "worker_not_running", job.run_at + timedelta(0, 5))
    assert applied.before is not None
    assert applied.before["state"] == "running"
    assert applied.before["session_id"] == hands.session
    assert applied.before["started_at"] == job.started_at.isoformat() if job.started_at else False
    assert "pupil" not in str(applied.before), "the payload stays on the job"
    assert "pending by now" in noop.message


async def test_the_trail_is_read_newest_first_and_by_page(store: Store) -> None:
    numbers = [
        await store.record(restart(f"worker-{n}"), A, sweep=f"s{n % 2}", by="watch-1", detail=f"spawn {n}")
        for n in range(5)
    ]
    assert numbers == sorted(numbers)
    entries = await store.audit(limit=2)
    assert [entry.id for entry in entries] == [numbers[4], numbers[3]]
    assert [entry.id for entry in await store.audit(before=numbers[3])] == [numbers[2], numbers[1], numbers[0]]
    assert [entry.id for entry in await store.audit(sweep="s1")] == [numbers[3], numbers[1]]
    [entry] = await store.audit(subject="worker-2")
    assert (entry.action, entry.message, entry.before) == ("restart", "restart it (spawn 2)", None)


async def test_amend(store: Store) -> None:
    number = await store.record(restart(), A, sweep="s", by="w")
    await store.amend(number, verified=False)
    await store.amend(number, outcome=Outcome.FAILED)
    [entry] = await store.audit()
    assert (entry.outcome, entry.verified) == (Outcome.FAILED, False)
    with pytest.raises(Conflict, match="no audit entry"):
        await store.amend(number + 1, verified=True)
