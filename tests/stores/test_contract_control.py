"""Every store: what the watch must remember over its own restarts, and who may act."""

from __future__ import annotations

from datetime import timedelta

from backends import StepClock
from store_kit import action, get, new, repaired, restart

from gradewatch.model import ActionKind, Credit, Outcome
from gradewatch.ports import Store

WINDOWS = {ActionKind.EXPIRE: 600.0, ActionKind.RESTART: 3600.0}


async def test_nothing_is_held_at_first(store: Store) -> None:
    facts = await store.control(WINDOWS)
    assert (facts.pause, facts.resumed_at, facts.credits, facts.restarts, facts.spent) == (None, None, (), (), {})
    assert not await store.resume(by="ann")


async def test_a_pause_lasts_until_its_time(store: Store, other: Store, clock: StepClock) -> None:
    pause = await store.pause(60, by="ann", reason="deploy")
    clock.step(40)
    facts = await other.control(WINDOWS)
    assert facts.pause == pause
    assert (pause.by, pause.reason) == ("ann", "deploy")
    assert pause.until == pause.started_at + timedelta(seconds=60)
    assert facts.credits == (Credit("pause", pause.started_at, facts.now),), "the pause so far is credited"
    clock.step(60)
    facts = await other.control(WINDOWS)
    assert facts.pause is None
    assert facts.credits == (Credit("pause", pause.started_at, pause.until),)


async def test_a_pause_lasts_until_somebody_resumes(store: Store, clock: StepClock) -> None:
    pause = await store.pause(None, by="ann")
    clock.step(86400)
    assert (await store.control(WINDOWS)).pause == pause
    assert await store.resume(by="bob")
    resumed = (await store.control(WINDOWS)).now
    clock.step(5)
    facts = await store.control(WINDOWS)
    assert (facts.pause, facts.resumed_at, facts.credits) == (
        None,
        resumed,
        (Credit("pause", pause.started_at, resumed),),
    )
    assert not await store.resume(by="bob")


async def test_a_resume_is_remembered_even_when_nothing_was_paused(store: Store, clock: StepClock) -> None:
    assert not await store.resume(by="ann")
    clock.step(3)
    facts = await store.control(WINDOWS)
    assert facts.resumed_at == facts.now - timedelta(seconds=3)


async def test_a_new_pause_takes_the_place_of_the_one_that_is_on(store: Store, clock: StepClock) -> None:
    first = await store.pause(None, by="ann")
    clock.step(10)
    second = await store.pause(30, by="bob")
    clock.step(10)
    facts = await store.control(WINDOWS)
    assert facts.pause == second
    assert facts.resumed_at is None
    assert facts.credits == (
        Credit("pause", first.started_at, second.started_at),
        Credit("pause", second.started_at, facts.now),
    )
    assert await store.resume(by="ann")
    assert (await store.control(WINDOWS)).pause is None


async def test_credits_are_kept_for_two_days_and_once(store: Store, clock: StepClock) -> None:
    now = (await store.control(WINDOWS)).now
    outage = Credit("outage", now - timedelta(seconds=90), now - timedelta(seconds=30))
    for _ in range(2):
        await store.add_credit(outage)
    assert (await store.control(WINDOWS)).credits == (outage,)
    clock.step(2 * 86400)
    assert (await store.control(WINDOWS)).credits == ()


async def test_restarts_of_the_last_day_are_remembered(store: Store, clock: StepClock) -> None:
    await store.record(restart("old"), Outcome.APPLIED, sweep="s", by="w")
    clock.step(86401)
    first = await store.record(restart("one"), Outcome.APPLIED, sweep="s", by="w")
    clock.step(1)
    second = await store.record(restart("two", "late"), Outcome.FAILED, sweep="s", by="w")
    for outcome in (Outcome.SUPPRESSED, Outcome.DRY_RUN, Outcome.NOOP):
        await store.record(restart("three"), outcome, sweep="s", by="w")
    await store.amend(first, verified=True)
    one, two = (await store.control(WINDOWS)).restarts
    assert (one.audit_id, one.target, one.queue, one.verified) == (first, "one", "default", True)
    assert (two.audit_id, two.target, two.queue, two.verified) == (second, "two", "late", None)
    assert (one.outcome, two.outcome) == (Outcome.APPLIED, Outcome.FAILED)
    assert two.at - one.at == timedelta(seconds=1)


async def test_restarts_are_told_as_they_were_recorded_whatever_the_clock_did(store: Store, clock: StepClock) -> None:
    first = await store.record(restart("one"), Outcome.APPLIED, sweep="s", by="w")
    clock.step(-3600)
    second = await store.record(restart("one"), Outcome.APPLIED, sweep="s", by="w")
    assert [record.audit_id for record in (await store.control(WINDOWS)).restarts] == [first, second]


async def test_budgets_are_counted_from_the_trail_in_each_window(store: Store, clock: StepClock) -> None:
    submitted = await store.submit([new(), new(), new(queue="late"), new()])
    jobs = [await get(store, job_id) for job_id in submitted]
    await store.record(restart(), Outcome.APPLIED, sweep="s", by="w")
    await store.record(restart(), Outcome.SUPPRESSED, sweep="s", by="w")
    await repaired(store, *(action(ActionKind.EXPIRE, job) for job in [*jobs[:3], jobs[0]]))
    await store.operate(jobs[3].id, "cancel", by="ann", sweep="h", message="")
    await store.operate(jobs[3].id, "requeue", by="ann", sweep="h", message="")
    spent = {
        (ActionKind.EXPIRE, "default"): 2,
        (ActionKind.EXPIRE, "late"): 1,
        (ActionKind.RESTART, "default"): 1,
    }
    windows = {**WINDOWS, ActionKind.REQUEUE: 600.0}
    assert (await store.control(windows)).spent == spent, "what a person does by hand spends nothing"
    clock.step(600)
    assert (await store.control(windows)).spent == {(ActionKind.RESTART, "default"): 1}


# ---------------------------------------------------------------- leases


async def test_one_holder_at_a_time(store: Store, other: Store, clock: StepClock) -> None:
    grant = await store.acquire("watch", "a", 15)
    assert grant is not None
    assert (grant.name, grant.holder, grant.term, grant.ttl) == ("watch", "a", 1, 15)
    assert await other.acquire("watch", "b", 15) is None
    assert (await other.acquire("another", "b", 15)) is not None
    clock.step(14)
    renewed = await store.acquire("watch", "a", 15)
    assert renewed is not None
    assert renewed.term == 1
    clock.step(14.999)
    assert await other.acquire("watch", "b", 15) is None
    clock.step(0.001)
    taken = await other.acquire("watch", "b", 15)
    assert taken is not None
    assert taken.term == 2, "a change of holder raises the term"
    assert await store.acquire("watch", "a", 15) is None


async def test_a_lease_given_up_is_free_at_once(store: Store, other: Store) -> None:
    await store.acquire("watch", "a", 15)
    await other.release("watch", "b")
    assert await other.acquire("watch", "b", 15) is None, "only its holder can give it up"
    await store.release("watch", "a")
    taken = await other.acquire("watch", "b", 15)
    assert taken is not None
    assert taken.term > 1


async def test_a_dead_holder_is_not_kept_alive_by_a_clock_stepped_back(store: Store, clock: StepClock) -> None:
    await store.acquire("watch", "dead", 15)
    clock.step(-3600)
    assert await store.acquire("watch", "b", 15) is None
    clock.step(15)
    assert await store.acquire("watch", "b", 15) is not None
