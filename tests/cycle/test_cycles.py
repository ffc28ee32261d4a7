"""Cycle after cycle over a real store: who acts when, what is written first, and what a report tells."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from watch_kit import (
    Before,
    Time,
    Watch,
    beat,
    bring_back,
    claimed,
    job,
    new,
    settings,
    take_away,
    taken_away,
    trail,
    written,
)

from gradewatch.errors import StoreUnavailable
from gradewatch.model import ActionKind, Code, CycleReport, JobState, Known, Outcome, Unknown
from gradewatch.stores.sqlite import SqliteStore


async def overdue(store: SqliteStore, time: Time, count: int = 1) -> list[str]:
    """Jobs that have waited too long by a second."""
    ids = await store.submit(new(count))
    time.go(301)
    return ids


def applied(report: CycleReport) -> list[str]:
    return [r.action.subject for r in report.results if r.outcome is Outcome.APPLIED]


async def states(store: SqliteStore, ids: list[str]) -> set[JobState]:
    return {(await job(store, id)).state for id in ids}


async def acting(watch: Watch) -> Watch:
    """The watch, its first and observing cycle behind it."""
    await watch.cycle.run_once()
    return watch


# ---------------------------------------------------------------- when it acts


async def test_the_first_cycle_observes_and_the_second_acts(store: SqliteStore, time: Time) -> None:
    ids = await overdue(store, time)
    watch = Watch(store, time)
    first = await watch.cycle.run_once()
    assert (first.leader, first.results, first.snapshot.observe_only) == (True, (), True)
    assert await states(store, ids) == {JobState.PENDING}
    second = await watch.cycle.run_once()
    assert applied(second) == ids
    assert await states(store, ids) == {JobState.FAILED}


async def test_a_single_cycle_acts_at_once_and_gives_the_lease_back(store: SqliteStore, time: Time) -> None:
    ids = await overdue(store, time)
    report = await Watch(store, time, single=True).cycle.run_single(acting=True)
    assert applied(report) == ids
    assert (await Watch(store, time, name="watch-2").cycle.run_once()).leader


async def test_a_look_writes_nothing_at_all(store: SqliteStore, time: Time, path: Path) -> None:
    await overdue(store, time, 3)
    session, _ = await claimed(store)
    time.go(60)
    before = written(path)
    report = await Watch(store, time, single=True).cycle.run_single(acting=False)
    assert (report.leader, report.results) == (False, ())
    assert {f.code for f in report.diagnosis.findings} >= {Code.WORKER_NOT_RUNNING}
    assert written(path) == before
    assert await beat(store, session)


async def test_a_look_at_a_store_that_is_away_writes_nothing_either(store: SqliteStore, time: Time, path: Path) -> None:
    before = written(path)
    watch = Watch(store, time, single=True)
    with taken_away(path):
        report = await watch.cycle.run_single(acting=False)
    assert isinstance(report.snapshot.store, Unknown)
    assert written(path) == before


async def test_who_does_not_lead_writes_nothing(store: SqliteStore, time: Time, path: Path) -> None:
    ids = await overdue(store, time)
    await acting(Watch(store, time))
    other = await acting(Watch(store, time, name="watch-2"))
    before = written(path)
    report = await other.cycle.run_once()
    assert (report.leader, report.results) == (False, ())
    assert isinstance(report.snapshot.queues["default"], Known), "it observes"
    assert Code.WORKER_NEVER_SEEN in {f.code for f in report.diagnosis.findings}
    assert written(path) == before
    assert await states(store, ids) == {JobState.PENDING}


async def test_another_watch_goes_on_where_the_first_has_ended(store: SqliteStore, time: Time) -> None:
    await acting(Watch(store, time))
    other = await acting(Watch(store, time, name="watch-2"))
    time.go(15)
    ids = await overdue(store, time)
    await other.cycle.run_once()
    report = await other.cycle.run_once()
    assert report.leader
    assert await states(store, ids) == {JobState.FAILED}


# ---------------------------------------------------------------- outages


async def test_nobody_is_failed_for_an_outage(store: SqliteStore, time: Time, path: Path) -> None:
    ids = await store.submit(new())
    watch = await acting(Watch(store, time))
    with taken_away(path):
        time.go(310)
        assert Code.STORE_UNREACHABLE in {f.code for f in (await watch.cycle.run_once()).diagnosis.findings}
    for _ in range(3):
        time.go(1)
        assert (await watch.cycle.run_once()).results == ()
    assert [c.kind for c in (await store.control({})).credits] == ["outage"]
    time.go(10)
    assert (await watch.cycle.run_once()).results == ()
    for _ in range(20):
        time.go(15)
        await watch.cycle.run_once()
    assert await states(store, ids) == {JobState.FAILED}, "three hundred seconds beside the outage are over"


async def test_a_watch_that_does_not_lead_writes_its_credits_all_the_same(
    store: SqliteStore, time: Time, path: Path
) -> None:
    await acting(Watch(store, time))
    other = await acting(Watch(store, time, name="watch-2"))
    with taken_away(path):
        time.go(5)
        await other.cycle.run_once()
    report = await other.cycle.run_once()
    assert not report.leader
    assert [c.kind for c in (await store.control({})).credits] == ["outage"]


async def test_credits_owed_are_written_before_anything_is_done(store: SqliteStore, time: Time, path: Path) -> None:
    """The store comes back, and refuses the credit: until it is written nothing is repaired, and then it counts."""
    refusing = False

    def refuse() -> None:
        if refusing:
            raise StoreUnavailable("the disk is full")

    ids = await store.submit(new())
    watch = await acting(Watch(Before(store, add_credit=refuse), time))
    with taken_away(path):
        time.go(310)
        await watch.cycle.run_once()
    refusing = True
    for _ in range(3):
        time.go(1)
        assert (await watch.cycle.run_once()).results == ()
    assert (await store.control({})).credits == ()
    refusing = False
    for _ in range(2):
        time.go(1)
        assert (await watch.cycle.run_once()).results == ()
    assert len((await store.control({})).credits) == 1
    assert await states(store, ids) == {JobState.PENDING}


async def test_nobody_is_blamed_while_a_queue_cannot_be_read_and_the_store_answers(
    store: SqliteStore, time: Time
) -> None:
    """As where somebody locks the table of jobs: workers cannot beat then, and nobody can claim."""
    locked = False

    def refuse() -> None:
        if locked:
            raise StoreUnavailable("a lock that somebody else holds was waited for in vain")

    _, [held] = await claimed(store)
    [late] = await store.submit(new())
    watch = await acting(Watch(Before(store, stats=refuse), time))
    time.go(3)
    await watch.cycle.run_once()
    locked = True
    for _ in range(100):
        time.go(5)
        assert (await watch.cycle.run_once()).diagnosis.has(Code.STORE_UNREACHABLE)
    locked = False
    for _ in range(3):
        report = await watch.cycle.run_once()
        assert report.results == ()
        time.go(4)
    assert not report.diagnosis.has(Code.STORE_UNREACHABLE)
    assert await states(store, [held.id, late]) == {JobState.RUNNING, JobState.PENDING}
    [credit] = (await store.control({})).credits
    assert (credit.kind, (credit.end - credit.start).total_seconds()) == ("outage", 500)
    time.go(300)
    for _ in range(2):  # so long between two looks: the first one only observes
        await watch.cycle.run_once()
    assert await states(store, [late]) == {JobState.FAILED}, "it waited too long without any lock"


async def test_a_clock_stepped_forward_fails_nobody(store: SqliteStore, time: Time) -> None:
    _, [held] = await claimed(store)
    ids = await store.submit(new())
    watch = await acting(Watch(store, time))
    time.go(1)
    time.step(3600)
    reports = []
    for _ in range(4):
        reports.append(await watch.cycle.run_once())
        time.go(1)
    assert [r.results for r in reports] == [()] * 4
    assert reports[0].snapshot.clock_step == 3600.0
    assert await states(store, [*ids, held.id]) == {JobState.PENDING, JobState.RUNNING}


async def test_a_clock_stepped_forward_in_the_middle_of_a_look_fails_nobody(store: SqliteStore, time: Time) -> None:
    steps: list[float] = []
    _, [held] = await claimed(store)
    ids = await store.submit(new())
    watch = await acting(Watch(Before(store, stats=lambda: time.step(steps.pop() if steps else 0.0)), time))
    steps.append(3600.0)
    for _ in range(4):
        time.go(1)
        assert (await watch.cycle.run_once()).results == ()
    assert steps == []
    assert await states(store, [*ids, held.id]) == {JobState.PENDING, JobState.RUNNING}


async def test_a_store_error_in_the_middle_of_repairs_is_told_and_the_rest_follows(
    store: SqliteStore, time: Time, path: Path
) -> None:
    turns = Counter[str]()

    def leave() -> None:
        turns["repair"] += 1
        if turns["repair"] == 2:
            take_away(path)

    ids = await overdue(store, time, 6)
    by = settings(remediation={"batch": 2})
    watch = await acting(Watch(Before(store, repair=leave), time, by))
    with capture_logs() as logs:
        report = await watch.cycle.run_once()
    assert len(applied(report)) == 2
    assert [(line["event"], line["done"]) for line in logs if line["log_level"] == "error"] == [
        ("repairs cut short; the next cycle decides anew", 2)
    ]
    bring_back(path)
    assert len(applied(await watch.cycle.run_once())) == 4
    assert Counter(await trail(store)) == Counter(("expire", "applied", id) for id in ids)


async def test_a_lease_that_ends_in_the_middle_of_repairs_ends_them(store: SqliteStore, time: Time) -> None:
    ids = await overdue(store, time, 6)
    by = settings(remediation={"batch": 2})
    watch = await acting(Watch(Before(store, repair=lambda: time.go(6)), time, by))
    time.go(5)
    report = await watch.cycle.run_once()
    assert len(applied(report)) == 4, "its lease ends ten seconds after it asked"
    assert len([id for id in ids if (await job(store, id)).state is JobState.PENDING]) == 2


# ---------------------------------------------------------------- what a report tells


async def test_a_report_tells_what_was_seen_concluded_and_done(store: SqliteStore, time: Time) -> None:
    [late] = await overdue(store, time)
    watch = await acting(Watch(store, time, settings(budget=7)))
    report = await watch.cycle.run_once()
    assert (report.number, report.leader, report.more) == (2, True, False)
    assert report.sweep.startswith(f"{time.wall():%Y%m%dT%H%M%S}-")
    assert [e.sweep for e in await store.audit()] == [report.sweep]
    assert [(r.action.kind.value, r.action.subject, r.outcome.value) for r in report.results] == [
        ("expire", late, "applied")
    ]
    assert report.budget_remaining == dict.fromkeys(ActionKind, 7), "as it was read"
    assert set(report.probe_seconds) == {"store", "workers", "platform", "environment", "control", "queue"}
    assert (report.seconds > 0, report.wall) == (True, time.wall())
    assert watch.board.latest is report
    assert (await watch.cycle.run_once()).budget_remaining["expire"] == 6


async def test_a_report_of_a_store_that_is_away_has_no_budgets_and_no_leader(
    store: SqliteStore, time: Time, path: Path
) -> None:
    watch = await acting(Watch(store, time))
    with taken_away(path):
        time.go(5)
        report = await watch.cycle.run_once()
    assert (report.leader, report.budget_remaining, report.results, report.next_wake) == (False, {}, (), None)


async def test_it_tells_when_something_is_due_next(store: SqliteStore, time: Time) -> None:
    await store.submit(new())
    watch = await acting(Watch(store, time))
    time.go(297)
    report = await watch.cycle.run_once()
    assert report.next_wake == pytest.approx(3.0, abs=0.1)


async def test_a_finding_is_logged_when_it_appears_and_when_it_goes(store: SqliteStore, time: Time) -> None:
    watch = Watch(store, time)
    with capture_logs() as logs:
        for _ in range(3):
            await watch.cycle.run_once()
        session, _ = await claimed(store)
        await beat(store, session)
        await watch.cycle.run_once()
    told = [(line["event"], line["code"]) for line in logs if line.get("code") == "worker_never_seen"]
    assert told == [("finding", "worker_never_seen"), ("finding gone", "worker_never_seen")]


# ---------------------------------------------------------------- a mass


async def test_ten_thousand_overdue_jobs_are_expired_exactly_once_each(store: SqliteStore, time: Time) -> None:
    ids = await overdue(store, time, 10_000)
    watch = await acting(Watch(store, time, settings(budget=1_000_000)))
    done: list[str] = []
    more = []
    while not more or more[-1]:
        report = await watch.cycle.run_once()
        done += applied(report)
        more.append(report.more)
    assert Counter(done) == Counter(ids)
    assert more == [True] * 5 + [False]
    stats = await store.stats("default")
    assert (stats.pending, stats.finished_total["failed"]) == (0, 10_000)
    seen = Counter[str]()
    before = None
    while page := await store.audit(limit=5000, before=before):
        seen.update(e.subject for e in page)
        before = page[-1].id
    assert seen == Counter(ids)


async def test_a_spent_budget_ends_a_mass_and_does_not_loop(store: SqliteStore, time: Time) -> None:
    await overdue(store, time, 3000)
    watch = await acting(Watch(store, time, settings(budget=50)))
    report = await watch.cycle.run_once()
    assert (len(applied(report)), report.more) == (50, False)
    report = await watch.cycle.run_once()
    assert (len(applied(report)), report.more) == (0, False)
    assert Code.REMEDIATION_BUDGET_SPENT in {f.code for f in report.diagnosis.findings}
