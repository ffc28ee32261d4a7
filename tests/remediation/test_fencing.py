"""Lost workers' sessions are ended before their jobs are given away; one that lives or keeps a job is not."""

from __future__ import annotations

from typing import Any

import pytest
from watch_kit import Places, Time, Watch, beat, claimed, job, new, place, settings, trail

from gradewatch.config import QueueSettings, Settings
from gradewatch.model import CycleReport, ExitCause, ExitKind, JobState, Outcome
from gradewatch.stores.sqlite import SqliteStore

SIGKILL = ExitCause(ExitKind.SIGNALLED, 9, "SIGKILL")


async def after_silence(watch: Watch, time: Time, seconds: float = 16.0) -> CycleReport:
    """The cycle that acts on what has been silent for so long, the watch having looked before."""
    await watch.cycle.run_once()
    time.go(seconds)
    return await watch.cycle.run_once()


async def ends(store: SqliteStore) -> dict[str, str]:
    """How the ended sessions ended, by id."""
    return {s.id: s.end_reason for s in await store.sessions() if s.ended_at}


def outcomes(report: CycleReport) -> list[tuple[str, str, str]]:
    return [(r.action.kind.value, r.outcome.value, r.action.subject) for r in report.results]


async def test_a_silent_workers_session_is_ended_and_its_job_taken_back(store: SqliteStore, time: Time) -> None:
    session, [lost] = await claimed(store)
    report = await after_silence(Watch(store, time), time)
    assert outcomes(report) == [("requeue", "applied", lost.id)]
    assert (await ends(store))[session].startswith("silent: no beat for 16.0 s")
    assert (await job(store, lost.id)).state is JobState.PENDING
    assert not await beat(store, session), "the worker that comes back learns of it"


async def test_a_silent_worker_without_jobs_is_ended_too(store: SqliteStore, time: Time) -> None:
    session, _ = await claimed(store, 0)
    await after_silence(Watch(store, time), time)
    assert list(await ends(store)) == [session]


async def test_a_worker_that_beats_meanwhile_is_left_alone_and_so_are_its_jobs(store: SqliteStore, time: Time) -> None:
    """It beats after it was read, and before it is fenced."""
    session, jobs = await claimed(store, 2)
    watch = Watch(store, time)
    watch.remedies._fence = _after(lambda: beat(store, session), watch.remedies._fence)  # type: ignore[method-assign]
    report = await after_silence(watch, time)
    assert {(r.action.subject, r.outcome, r.detail) for r in report.results} == {
        (j.id, Outcome.NOOP, "its worker came back") for j in jobs
    }
    assert await ends(store) == {}
    assert [(await job(store, j.id)).state for j in jobs] == [JobState.RUNNING] * 2
    assert await trail(store) == []


async def test_one_that_is_proved_dead_is_fenced_whatever_beat_came_last(store: SqliteStore, time: Time) -> None:
    places = Places(place())
    session, [lost] = await claimed(store, target="place-1", incarnation="life-1")
    watch = Watch(store, time, platform=places)
    await watch.cycle.run_once()
    places.die("place-1", SIGKILL)
    watch.remedies._fence = _after(lambda: beat(store, session), watch.remedies._fence)  # type: ignore[method-assign]
    time.go(1)
    report = await watch.cycle.run_once()
    assert outcomes(report) == [("requeue", "applied", lost.id), ("restart", "applied", "place-1")]
    assert (await ends(store))[session] == "died: its process ended: killed by SIGKILL"


def _after(first: Any, then: Any) -> Any:
    async def both(*args: Any) -> Any:
        await first()
        return await then(*args)

    return both


# ---------------------------------------------------------------- sessions that keep a job


async def test_on_lost_keep_leaves_the_session_and_its_job(store: SqliteStore, time: Time) -> None:
    session, [kept] = await claimed(store)
    report = await after_silence(Watch(store, time, settings(on_lost="keep")), time)
    assert (report.results, await ends(store)) == ((), {})
    assert await beat(store, session)
    assert (await job(store, kept.id)).session_id == session


async def test_a_session_that_keeps_one_job_of_another_queue_is_not_ended_for_it(
    store: SqliteStore, time: Time
) -> None:
    """One worker serves two queues: its job on the one is taken back, that on the other is to stay with it."""
    both = Settings(queues={"back": QueueSettings("back"), "stay": QueueSettings("stay", on_lost="keep")})
    session, [taken] = await claimed(store, queue="back", queues=("back", "stay"))
    await store.submit(new(queue="stay"))
    [kept] = await store.claim(session, ["stay"], ["grade"], 1)
    report = await after_silence(Watch(store, time, both), time)
    assert outcomes(report) == [("requeue", "applied", taken.id)]
    assert await ends(store) == {}
    assert {c.id for c in (await store.beat(session, loop_age=0.0, busy=1)).held} == {kept.id}


async def test_a_session_whose_job_the_budget_holds_back_is_not_ended(store: SqliteStore, time: Time) -> None:
    one, first = await claimed(store, 2)
    two, second = await claimed(store)
    watch = Watch(store, time, settings(budget=1))
    report = await after_silence(watch, time)
    assert sorted(r.outcome.value for r in report.results) == ["applied", "suppressed", "suppressed"]
    assert await ends(store) == {}
    states = [(await job(store, j.id)).state for j in (*first, *second)]
    assert sorted(states) == [JobState.PENDING, JobState.RUNNING, JobState.RUNNING]
    assert await beat(store, one)
    assert await beat(store, two)


async def test_a_session_of_a_queue_that_was_not_read_in_full_is_not_ended(store: SqliteStore, time: Time) -> None:
    session, _ = await claimed(store, 3)
    watch = Watch(store, time)
    watch.observer._queues["default"]._page = 2
    report = await after_silence(watch, time)
    assert (len(report.results), report.more, await ends(store)) == (2, True, {})
    report = await watch.cycle.run_once()
    assert (len(report.results), report.more, list(await ends(store))) == (1, False, [session])


async def test_a_job_that_ran_too_long_does_not_keep_its_lost_session(store: SqliteStore, time: Time) -> None:
    """It fails for its time in the same cycle; the other one is taken back only once the session was ended."""
    session, jobs = await claimed(store)
    time.go(1790)
    [other] = await _claim_more(store, session)
    report = await after_silence(Watch(store, time), time)
    assert set(outcomes(report)) == {("expire", "applied", jobs[0].id), ("requeue", "applied", other)}
    assert list(await ends(store)) == [session]


async def _claim_more(store: SqliteStore, session: str) -> list[str]:
    await store.submit(new())
    return [j.id for j in await store.claim(session, ["default"], ["grade"], 1)]


# ---------------------------------------------------------------- nothing is fenced


@pytest.mark.parametrize("why", ["pause", "dry-run", "off"])
async def test_what_holds_the_repairs_holds_the_fence(store: SqliteStore, time: Time, why: str) -> None:
    _, [lost] = await claimed(store)
    if why == "pause":
        await store.pause(None, by="ann")
    mode = "act" if why == "pause" else why
    report = await after_silence(Watch(store, time, settings(remediation={"mode": mode})), time)
    assert [r.outcome for r in report.results] == [Outcome.DRY_RUN if why == "dry-run" else Outcome.SUPPRESSED]
    assert await ends(store) == {}
    assert (await job(store, lost.id)).state is JobState.RUNNING


@pytest.mark.parametrize("why", ["pause", "dry-run", "off"])
async def test_an_idle_silent_worker_keeps_its_session_then_too(store: SqliteStore, time: Time, why: str) -> None:
    session, _ = await claimed(store, 0)
    if why == "pause":
        await store.pause(None, by="ann")
    mode = "act" if why == "pause" else why
    await after_silence(Watch(store, time, settings(remediation={"mode": mode})), time)
    assert await beat(store, session)


async def test_the_fleet_gate_fences_nobody(store: SqliteStore, time: Time) -> None:
    sessions = [(await claimed(store, name=f"w{n}"))[0] for n in range(3)]
    watch = Watch(store, time)
    await watch.cycle.run_once()
    time.go(5)
    for session in sessions:
        await beat(store, session)
    report = await after_silence(watch, time)
    assert (report.results, await ends(store)) == ((), {})
    assert "monitor_suspect" in {f.code.value for f in report.diagnosis.findings}
