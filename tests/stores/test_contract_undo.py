"""Every store: undo of a sweep, and what a person does to a job by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from backends import StepClock
from store_kit import LOST, Hands, action, fence, get, new, repaired, restart, running

from gradewatch.errors import Conflict, NotFound
from gradewatch.model import ActionKind, FinishKind, Job, JobState, Outcome
from gradewatch.ports import Store


async def test_undo_returns_a_pending_job_with_a_fresh_clock(store: Store, clock: StepClock) -> None:
    [job_id] = await store.submit([new()])
    before = await get(store, job_id)
    clock.step(600)
    await repaired(store, action(ActionKind.EXPIRE, before))
    clock.step(60)
    [(entry, done)] = await store.undo("sweep-1", by="ann")
    job = await get(store, job_id)
    assert done
    assert entry.undone_at == job.run_at == job.updated_at == before.run_at + timedelta(seconds=660)
    assert replace(job, run_at=before.run_at, updated_at=before.updated_at) == before
    assert (await store.audit(limit=1))[0].action == "undo"


@pytest.mark.parametrize("kind", [ActionKind.EXPIRE, ActionKind.REQUEUE, ActionKind.FAIL])
async def test_undo_returns_a_running_job_with_its_attempt_given_back(store: Store, kind: ActionKind) -> None:
    _, job = await running(store)
    await repaired(store, action(kind, job, run_alone=True))
    [(_, done)] = await store.undo("sweep-1", by="ann")
    now = await get(store, job.id)
    assert done
    assert (now.state, now.attempt, now.lost, now.run_alone) == (JobState.PENDING, 0, 0, False)
    assert (now.session_id, now.started_at, now.finished_at, now.error) == (None, None, None, None)
    with pytest.raises(Conflict):
        await store.progress(fence(job), 1, 1)


async def test_undo_leaves_what_has_moved_on(store: Store, clock: StepClock) -> None:
    hands, job = await running(store)
    await repaired(store, action(ActionKind.REQUEUE, job))
    again = await hands.one()
    [(entry, done)] = await store.undo("sweep-1", by="ann")
    assert (done, entry.undone_at) == (False, None)
    assert await get(store, job.id) == again


async def test_undo_leaves_what_another_sweep_has_failed_since(store: Store, clock: StepClock) -> None:
    [job_id] = await store.submit([new()])
    await repaired(store, action(ActionKind.EXPIRE, await get(store, job_id)))
    clock.step(1)
    await store.operate(job_id, "requeue", by="ann", sweep="hand", message="")
    clock.step(1)
    await repaired(store, action(ActionKind.EXPIRE, await get(store, job_id)), sweep="sweep-2")
    assert [done for _, done in await store.undo("sweep-1", by="ann")] == [False]
    assert [done for _, done in await store.undo("sweep-2", by="ann")] == [True]


async def test_undo_happens_once_and_spares_noops_and_restarts(store: Store) -> None:
    [job_id] = await store.submit([new()])
    expire = action(ActionKind.EXPIRE, await get(store, job_id))
    await repaired(store, expire, expire)
    await store.record(restart(), Outcome.APPLIED, sweep="sweep-1", by="w")
    assert len(await store.undo("sweep-1", by="ann")) == 1
    assert await store.undo("sweep-1", by="ann") == []
    assert await store.undo("no-such-sweep", by="ann") == []


async def test_undo_of_a_large_sweep(store: Store) -> None:
    await store.submit([new() for _ in range(450)])
    jobs = await store.jobs(limit=450)
    await repaired(store, *(action(ActionKind.EXPIRE, job) for job in jobs))
    undone = await store.undo("sweep-1", by="ann")
    assert (len(undone), all(done for _, done in undone)) == (450, True)
    assert (await store.stats("default")).pending == 450


# ---------------------------------------------------------------- by hand


async def by_hand(store: Store, job: Job, verb: str, **more: object) -> Job:
    return await store.operate(job.id, verb, by="ann", sweep="hand-1", message="said so", **more)  # type: ignore[arg-type]


async def test_requeue_by_hand_starts_the_job_anew(store: Store, clock: StepClock) -> None:
    _, job = await running(store, max_attempts=1)
    await repaired(store, action(ActionKind.REQUEUE, job))
    assert (await get(store, job.id)).state is JobState.FAILED
    clock.step(9)
    now = await by_hand(store, job, "requeue")
    assert now == await get(store, job.id)
    assert (now.state, now.attempt, now.lost, now.run_alone) == (JobState.PENDING, 0, 0, False)
    assert (now.error, now.finished_at, now.run_at) == (None, None, job.run_at + timedelta(seconds=9))
    _, job = await running(store)
    assert (await by_hand(store, job, "requeue")).state is JobState.PENDING


@pytest.mark.parametrize(("verb", "state"), [("fail", JobState.FAILED), ("cancel", JobState.CANCELLED)])
async def test_fail_and_cancel_by_hand(store: Store, verb: str, state: JobState) -> None:
    [job_id] = await store.submit([new()])
    _, job = await running(store, priority=1)
    for one in (await get(store, job_id), job):
        now = await by_hand(store, one, verb)
        assert now.error is not None
        assert (now.state, now.error.message) == (state, "said so")
    entry = (await store.audit(limit=1))[0]
    assert (entry.action, entry.reason, entry.by, entry.subject) == (verb, "operator", "ann", job.id)


async def test_what_the_state_does_not_allow_is_refused(store: Store) -> None:
    hands, job = await running(store)
    assert await hands.finish(job)
    for verb in ("requeue", "fail", "cancel"):
        with pytest.raises(Conflict, match="succeeded"):
            await by_hand(store, job, verb)
    [pending] = await store.submit([new()])
    with pytest.raises(Conflict, match="pending"):
        await by_hand(store, await get(store, pending), "requeue")
    with pytest.raises(NotFound):
        await by_hand(store, replace(job, id="no-such-job"), "fail")
    with pytest.raises(ValueError, match="explode"):
        await by_hand(store, job, "explode")
    assert await store.audit() == []


async def test_a_person_decides_on_what_they_saw(store: Store) -> None:
    [job_id] = await store.submit([new()])
    seen = await get(store, job_id)
    job = await (await Hands.open(store)).one()
    with pytest.raises(Conflict, match="look again"):
        await by_hand(store, job, "cancel", seen=(seen.state, seen.token))
    assert (await by_hand(store, job, "cancel", seen=(job.state, job.token))).state is JobState.CANCELLED


async def test_what_was_done_by_hand_can_be_undone(store: Store, clock: StepClock) -> None:
    hands, job = await running(store)
    assert await hands.finish(job, FinishKind.FAIL, error=LOST, result={"partial": 1})
    failed = await get(store, job.id)
    clock.step(5)
    await by_hand(store, job, "requeue")
    clock.step(5)
    [(_, done)] = await store.undo("hand-1", by="ann")
    now = await get(store, job.id)
    assert done
    assert replace(now, updated_at=failed.updated_at, session_id=failed.session_id) == failed
