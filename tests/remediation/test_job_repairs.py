"""Repairs of jobs in bounded writes; a lease that ends in the middle ends them there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from watch_kit import Before, Time, bring_back, job, new, take_away, trail

from gradewatch.config import QueueSettings
from gradewatch.errors import LeaseLost, StoreUnavailable
from gradewatch.model import Action, ActionKind, Code, JobState, Outcome, Result
from gradewatch.probes.queue import QueueProbe
from gradewatch.remediation.jobs import repair_jobs
from gradewatch.stores.sqlite import SqliteStore


async def late(store: SqliteStore, time: Time, count: int) -> list[Action]:
    await store.submit(new(count))
    time.go(301)
    facts = await QueueProbe(QueueSettings()).read(store, (), time.mono())
    words = "it waited too long"
    return [Action(ActionKind.EXPIRE, "default", Code.JOB_TIMED_OUT, words, job=j) for j in facts.overdue_pending]


Done = list[list[Result]]


async def repaired(store: Any, actions: list[Action], done: Done, *, turns: int = 99, batch: int = 2) -> None:
    """Repair for as long as the lease lasts: so many times it may be asked. What each write did is put into `done`."""
    left = iter([True] * turns)
    async for results in repair_jobs(
        store, actions, sweep="sweep-1", by="watch-1", batch=batch, may_act=lambda: next(left, False)
    ):
        done.append(results)


@pytest.fixture
def done() -> Done:
    return []


async def states(store: SqliteStore, actions: list[Action]) -> list[JobState]:
    return [(await job(store, a.subject)).state for a in actions]


async def test_each_write_is_bounded_and_told(store: SqliteStore, time: Time, done: Done) -> None:
    actions = await late(store, time, 5)
    await repaired(store, actions, done)
    assert [[r.action for r in results] for results in done] == [actions[:2], actions[2:4], actions[4:]]
    assert {r.outcome for results in done for r in results} == {Outcome.APPLIED}
    assert await states(store, actions) == [JobState.FAILED] * 5


async def test_a_lease_that_ends_in_the_middle_stops_there_and_what_was_written_stays(
    store: SqliteStore, time: Time, done: Done
) -> None:
    actions = await late(store, time, 6)
    with pytest.raises(LeaseLost):
        await repaired(store, actions, done, turns=2)
    assert [len(results) for results in done] == [2, 2]
    assert await states(store, actions) == [JobState.FAILED] * 4 + [JobState.PENDING] * 2
    assert len(await trail(store)) == 4


async def test_without_a_lease_nothing_is_written(store: SqliteStore, time: Time, done: Done) -> None:
    actions = await late(store, time, 2)
    with pytest.raises(LeaseLost):
        await repaired(store, actions, done, turns=0)
    assert done == []
    assert await trail(store) == []


async def test_nothing_to_do_asks_nobody(store: SqliteStore, done: Done) -> None:
    await repaired(store, [], done, turns=0)
    assert done == []


async def test_a_store_that_goes_away_in_the_middle_is_raised_and_what_was_written_stays(
    store: SqliteStore, time: Time, path: Path, done: Done
) -> None:
    actions = await late(store, time, 4)
    calls = []

    def leave() -> None:
        calls.append(1)
        if len(calls) == 2:
            take_away(path)

    with pytest.raises(StoreUnavailable):
        await repaired(Before(store, repair=leave), actions, done)
    bring_back(path)
    assert [len(results) for results in done] == [2]
    assert await states(store, actions) == [JobState.FAILED] * 2 + [JobState.PENDING] * 2


async def test_a_job_that_was_taken_meanwhile_is_left_alone(store: SqliteStore, time: Time, done: Done) -> None:
    actions = await late(store, time, 3)
    await store.operate(actions[1].subject, "cancel", by="ann", sweep="s", message="")
    await repaired(store, actions, done, batch=10)
    assert [r.outcome for r in done[0]] == [Outcome.APPLIED, Outcome.NOOP, Outcome.APPLIED]
    assert (await states(store, actions))[1] is JobState.CANCELLED
