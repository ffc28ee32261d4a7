"""The runtime's small parts, each by itself: backoff, outcome of an error, orphans, slots, wake-up, outage."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from structlog.testing import capture_logs

from gradewatch.errors import (
    AccessDenied,
    Conflict,
    PayloadError,
    RubricError,
    SchemaMismatch,
    StoreError,
    StoreUnavailable,
)
from gradewatch.model import Claimed, FinishKind, Job, JobState
from gradewatch.worker.backoff import full_jitter
from gradewatch.worker.orphans import Orphans
from gradewatch.worker.outage import Outage
from gradewatch.worker.outcome import MAX_MESSAGE, after_error
from gradewatch.worker.slots import Running, Slots
from gradewatch.worker.wakeup import Wakeup

T0 = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
JOB = Job(
    id="j1",
    queue="default",
    kind="grade",
    state=JobState.RUNNING,
    priority=0,
    attempt=1,
    max_attempts=3,
    lost=0,
    token=1,
    run_alone=False,
    session_id="s1",
    created_at=T0,
    run_at=T0,
    started_at=T0,
    finished_at=None,
    updated_at=T0,
    progress_done=0,
    progress_total=0,
    status_message="",
    payload={},
    result=None,
    error=None,
)


class Highest(random.Random):
    """Draws the upper bound, so that bounds can be read off."""

    def uniform(self, a: float, b: float) -> float:
        return b


# ---------------------------------------------------------------- backoff and outcome


def test_backoff_doubles_up_to_its_cap() -> None:
    delays = [full_jitter(n, base=2, cap=300, rng=Highest()) for n in (1, 2, 3, 8, 9, 10_000)]
    assert delays == [2, 4, 8, 256, 300, 300]


def test_backoff_is_spread_over_its_whole_range() -> None:
    rng = random.Random(1)
    delays = [full_jitter(4, base=2, cap=300, rng=rng, floor=1) for _ in range(500)]
    assert 1 <= min(delays) < 2
    assert 15 < max(delays) <= 16


@pytest.mark.parametrize(
    ("error", "code"),
    [(PayloadError("no papers"), "payload_invalid"), (RubricError(["q1: no marks"]), "rubric_invalid")],
)
def test_what_trying_again_cannot_help_fails_at_once(error: Exception, code: str) -> None:
    finish = after_error(JOB, error, random.Random(1))
    assert (finish.kind, finish.error.code if finish.error else "") == (FinishKind.FAIL, code)
    assert finish.claim == Claimed("j1", 1)


def test_other_errors_are_tried_again_later() -> None:
    finish = after_error(replace(JOB, attempt=2), ZeroDivisionError("division by zero"), Highest())
    assert (finish.kind, finish.delay) == (FinishKind.RETRY, 4.0)
    assert finish.error is not None
    assert finish.error.message == "ZeroDivisionError: division by zero"


def test_the_last_attempt_fails_with_the_last_error() -> None:
    finish = after_error(replace(JOB, attempt=3), ValueError("x" * 9000), random.Random(1))
    assert finish.kind is FinishKind.FAIL
    assert finish.error is not None
    assert finish.error.code == "attempts_exhausted"
    assert finish.error.message.startswith("ValueError: xxx")
    assert len(finish.error.message) == MAX_MESSAGE


# ---------------------------------------------------------------- orphans and slots

A, B = Claimed("a", 1), Claimed("b", 1)


def test_a_claim_under_way_is_no_orphan_until_its_call_has_ended() -> None:
    orphans = Orphans()
    orphans.claim_begins()
    assert orphans.seen([A]) == []
    assert orphans.seen([A]) == []
    orphans.claim_ended()
    assert orphans.seen([A]) == [A]


def test_a_claim_call_begun_later_does_not_hide_an_orphan() -> None:
    orphans = Orphans()
    orphans.claim_begins()
    orphans.claim_ended()
    assert orphans.seen([A]) == []
    orphans.claim_begins()
    assert orphans.seen([A, B]) == [A]


def test_a_claim_that_went_away_between_two_beats_starts_afresh() -> None:
    orphans = Orphans()
    assert orphans.seen([A]) == []
    assert orphans.seen([]) == []
    assert orphans.seen([A]) == []


def test_only_jobs_older_than_the_beat_can_be_missing() -> None:
    slots = Slots(4)
    old, young, foreign = Running(JOB, "s1", 10.0), Running(replace(JOB, id="j2"), "s1", 20.0), Running(JOB, "s0", 1.0)
    held = Running(replace(JOB, id="j3"), "s1", 5.0)
    for running in (old, young, held):
        slots.put(running)
    assert slots.missing({held.claim}, "s1", before=15.0) == [old]
    slots.put(foreign)
    assert slots.missing(set(), "s1", before=1.0) == []


def test_a_job_that_runs_alone_leaves_no_slot_free() -> None:
    slots = Slots(4)
    slots.put(Running(replace(JOB, run_alone=True), "s1"))
    assert slots.free == 0


# ---------------------------------------------------------------- wake-up


class Changing:
    """A change token under the test's hand; `None` stands for a store that cannot tell."""

    def __init__(self, token: int | None) -> None:
        self.token = token
        self.asked = 0

    async def change_token(self) -> object:
        self.asked += 1
        return object() if self.token is None else self.token


async def _wait(store: Changing, wakeup: Wakeup) -> float:
    loop = asyncio.get_running_loop()
    began = loop.time()
    await wakeup.wait(store.token)
    return loop.time() - began


@pytest.mark.looptime
async def test_a_change_in_the_store_wakes_within_a_glance() -> None:
    store = Changing(1)
    wakeup = Wakeup(store, poll=30.0, rng=random.Random(1))
    asyncio.get_running_loop().call_later(2.0, setattr, store, "token", 2)
    assert 2.0 <= await _wait(store, wakeup) <= 2.06


@pytest.mark.looptime
async def test_nothing_new_means_a_full_look_every_poll_with_jitter() -> None:
    waits = [
        await _wait(store, Wakeup(store, poll=1.0, rng=random.Random(n))) for n in range(20) for store in [Changing(1)]
    ]
    assert all(0.9 <= w <= 1.16 for w in waits)
    assert max(waits) - min(waits) > 0.05


@pytest.mark.looptime
async def test_a_store_that_cannot_tell_is_polled_and_not_asked_in_a_busy_loop() -> None:
    store = Changing(None)
    assert 0.9 <= await _wait(store, Wakeup(store, poll=1.0, rng=random.Random(1))) <= 1.1
    assert store.asked == 3


@pytest.mark.looptime
async def test_a_call_wakes_at_once_even_when_it_came_before_the_wait() -> None:
    wakeup = Wakeup(Changing(1), poll=30.0, rng=random.Random(1))
    wakeup.call()
    assert await _wait(Changing(1), wakeup) == 0.0


# ---------------------------------------------------------------- outage


def _failing(*errors: Exception) -> Any:
    left = list(errors)

    async def call() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return call


@pytest.mark.looptime
async def test_an_outage_is_told_once_and_so_is_its_end() -> None:
    loop = asyncio.get_running_loop()
    over = loop.time() + 60.0

    async def call() -> str:
        if loop.time() < over:
            raise StoreUnavailable("gone")
        return "done"

    outage = Outage(random.Random(1))
    with capture_logs() as logs:
        assert await asyncio.gather(*(outage.ride_out("jobs", call) for _ in range(3))) == ["done"] * 3
    assert [line["event"] for line in logs] == ["store unreachable", "store back"]
    assert not outage.ongoing


@pytest.mark.looptime
async def test_tries_back_off_to_five_seconds_and_no_further() -> None:
    loop = asyncio.get_running_loop()
    outage = Outage(Highest())
    began = loop.time()
    await outage.ride_out("jobs", _failing(*[StoreUnavailable("gone")] * 7))
    assert loop.time() - began == pytest.approx(0.2 + 0.4 + 0.8 + 1.6 + 3.2 + 5 + 5)


@pytest.mark.looptime
@pytest.mark.parametrize(
    ("error", "event"),
    [(AccessDenied("no"), "store refused access"), (SchemaMismatch("old"), "store schema does not fit")],
)
async def test_a_fault_only_people_can_mend_is_told_with_its_fix_and_tried_slowly(error: Exception, event: str) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    with capture_logs() as logs:
        await Outage(random.Random(1)).ride_out("jobs", _failing(error))
    assert loop.time() - began == 15.0
    assert (logs[0]["event"], logs[0]["log_level"]) == (event, "error")
    assert logs[0]["fix"]


@pytest.mark.parametrize("kind", [AccessDenied, SchemaMismatch, StoreUnavailable])
async def test_an_error_that_knows_better_is_told_with_its_own_fix(kind: type[StoreError]) -> None:
    with capture_logs() as logs:
        Outage(random.Random(1)).failed("jobs", kind("no", fix="turn the key"))
    assert logs[0]["fix"] == "turn the key"


async def test_a_conflict_is_an_answer() -> None:
    outage = Outage(random.Random(1))
    with pytest.raises(Conflict):
        await outage.ride_out("jobs", _failing(Conflict("taken")))
    assert not outage.ongoing


async def test_the_outage_ends_when_every_source_that_failed_has_had_an_answer() -> None:
    outage = Outage(random.Random(1))
    with capture_logs() as logs:
        outage.failed("jobs", StoreUnavailable("gone"))
        outage.failed("heartbeat", StoreUnavailable("gone"))
        outage.answered("heartbeat")
        assert outage.ongoing
        outage.answered("jobs")
    assert [line["event"] for line in logs] == ["store unreachable", "store back"]
