"""A restart is on record before it is done; what came of it is written down afterwards, once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from structlog.testing import capture_logs
from watch_kit import Places, Time, Watch, bring_back, new_session, place, settings, take_away, taken_away, trail

from gradewatch.errors import Conflict, PlatformError, StoreUnavailable
from gradewatch.model import Action, ActionKind, Code, ExitCause, ExitKind, Outcome, Target
from gradewatch.platforms.process import ProcessPlatform
from gradewatch.ports import WorkerControl
from gradewatch.remediation import restart as restarting
from gradewatch.remediation.restart import restart
from gradewatch.stores.sqlite import SqliteStore

SIGKILL = ExitCause(ExitKind.SIGNALLED, 9, "SIGKILL")
SLEEPS = ["/bin/sleep", "600"]


def action(target: str = "place-1", life: str = "life-1") -> Action:
    return Action(ActionKind.RESTART, "default", Code.WORKER_NOT_RUNNING, "it hangs", target=target, incarnation=life)


async def restarted(store: Any, platform: WorkerControl, of: Action | None = None) -> tuple[Outcome, str]:
    result = await restart(platform, store, of or action(), sweep="sweep-1", by="watch-1")
    return result.outcome, result.detail


# ---------------------------------------------------------------- one contract, two platforms


@pytest.fixture(params=["words", "processes"])
async def platform(request: pytest.FixtureRequest) -> AsyncIterator[WorkerControl]:
    """The platform of words that the other tests use keeps the contract of the real one."""
    if request.param == "words":
        yield Places(place())
        return
    real = ProcessPlatform(SLEEPS, names=["place-1"], queues=("default",), env={}, stop_timeout=5.0)
    await real.start()
    yield real
    await real.stop()


async def only(platform: WorkerControl) -> Target:
    [target] = await platform.targets()
    return target


async def test_a_restart_gives_the_place_another_life_and_ends_the_old_one(platform: WorkerControl) -> None:
    old = await only(platform)
    life = await platform.restart("place-1", old.incarnation)
    new = await only(platform)
    assert (new.incarnation, new.running) == (life, True)
    assert life != old.incarnation
    assert old.incarnation in new.ended_incarnations
    assert new.running_seconds < 60
    if platform.kind == "process":
        assert not psutil.pid_exists(old.pid or 0)


async def test_a_restart_of_an_earlier_life_is_a_conflict_and_of_no_place_refused(platform: WorkerControl) -> None:
    now = await only(platform)
    with pytest.raises(Conflict):
        await platform.restart("place-1", "an earlier life")
    with pytest.raises(PlatformError):
        await platform.restart("nowhere", now.incarnation)
    assert (await only(platform)).incarnation == now.incarnation


async def test_what_came_of_it_is_told_and_on_record(platform: WorkerControl, store: SqliteStore) -> None:
    life = (await only(platform)).incarnation
    assert (await restarted(store, platform, action(life=life)))[0] is Outcome.APPLIED
    assert (await restarted(store, platform, action(life=life)))[0] is Outcome.NOOP
    assert (await restarted(store, platform, action("nowhere")))[0] is Outcome.FAILED
    assert [outcome for _, outcome, _ in await trail(store)] == ["applied", "noop", "failed"]


# ---------------------------------------------------------------- write-ahead


async def test_it_is_on_record_before_it_is_done(store: SqliteStore) -> None:
    places, seen = Places(place()), []

    async def look() -> None:
        seen.extend(await trail(store))

    places.before = look
    assert await restarted(store, places) == (Outcome.APPLIED, "place-1-life-2")
    assert seen == [("restart", "applied", "place-1")]
    assert await trail(store) == seen


@pytest.mark.parametrize(
    ("refusal", "outcome"),
    [(Conflict("no longer that one"), Outcome.NOOP), (PlatformError("quota exceeded"), Outcome.FAILED)],
)
async def test_a_refused_one_is_amended(store: SqliteStore, refusal: Exception, outcome: Outcome) -> None:
    places = Places(place())
    places.refusal = refusal
    assert await restarted(store, places) == (outcome, str(refusal))
    assert await trail(store) == [("restart", outcome.value, "place-1")]


async def test_one_that_takes_too_long_failed(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restarting, "DEADLINE", 0.02)
    places = Places(place())
    places.before = asyncio.Event().wait
    assert await restarted(store, places) == (Outcome.FAILED, "the platform did not restart it within 0.02 s")
    assert await trail(store) == [("restart", "failed", "place-1")]


async def test_without_the_record_nothing_is_done(store: SqliteStore, path: Path) -> None:
    places = Places(place())
    with taken_away(path), pytest.raises(StoreUnavailable):
        await restarted(store, places)
    assert places.restarted == []


async def test_a_store_that_goes_away_in_the_act_leaves_the_budget_spent(store: SqliteStore, path: Path) -> None:
    places = Places(place())
    places.refusal = PlatformError("quota exceeded")

    async def leave() -> None:
        take_away(path)

    places.before = leave
    with capture_logs() as logs:
        assert await restarted(store, places) == (Outcome.FAILED, "quota exceeded")
    bring_back(path)
    assert await trail(store) == [("restart", "applied", "place-1")]
    assert [line["log_level"] for line in logs] == ["error", "warning"]


async def test_a_watch_that_dies_in_the_act_has_spent_its_budget(store: SqliteStore, time: Time) -> None:
    """The next watch finds the restart in the trail: in flight, counted, and its target cooling down."""
    places = Places(place())
    begun = asyncio.Event()

    async def hang() -> None:
        begun.set()
        await asyncio.Event().wait()

    places.before = hang
    dying = asyncio.create_task(restarted(store, places))
    await asyncio.wait_for(begun.wait(), 5)
    dying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await dying
    places.before = None
    places.die("place-1", SIGKILL)
    facts = await store.control({ActionKind.RESTART: 600.0})
    assert facts.spent == {(ActionKind.RESTART, "default"): 1}
    assert [(r.target, r.outcome, r.verified) for r in facts.restarts] == [("place-1", Outcome.APPLIED, None)]

    spent = Watch(store, time, settings(budget=1, remediation={"cooldown": 0.0}), places, name="watch-2")
    await spent.cycle.run_once()
    time.go(1)
    report = await spent.cycle.run_once()
    assert [(r.outcome, places.restarted) for r in report.results] == [(Outcome.SUPPRESSED, [])]
    assert "budget of 1" in report.results[0].detail


# ---------------------------------------------------------------- several at once


async def down(store: SqliteStore, time: Time, count: int = 3) -> tuple[Places, Watch]:
    """A watch that has looked once at so many dead places."""
    places = Places(*(place(f"place-{n}", life=f"life-{n}") for n in range(1, count + 1)))
    watch = Watch(store, time, platform=places)
    await watch.cycle.run_once()
    for name in tuple(places.there):
        places.die(name, SIGKILL)
    time.go(1)
    return places, watch


async def test_all_that_were_let_through_are_restarted(store: SqliteStore, time: Time) -> None:
    places, watch = await down(store, time)
    report = await watch.cycle.run_once()
    assert [(r.action.subject, r.outcome) for r in report.results] == [
        (f"place-{n}", Outcome.APPLIED) for n in (1, 2, 3)
    ]
    assert sorted(places.restarted) == ["place-1", "place-2", "place-3"]


async def test_one_that_could_not_be_recorded_takes_nothing_from_the_others(store: SqliteStore, time: Time) -> None:
    """The report tells of those that were done, and none goes on behind the cycle's back."""
    places, watch = await down(store, time)
    real = store.record

    async def record(action: Action, *args: Any, **named: Any) -> int:
        if action.subject == "place-2":
            raise StoreUnavailable("the disk is full")
        return await real(action, *args, **named)

    watch.remedies._store = _With(store, record=record)  # type: ignore[assignment]
    report = await watch.cycle.run_once()
    assert [(r.action.subject, r.outcome) for r in report.results] == [
        ("place-1", Outcome.APPLIED),
        ("place-3", Outcome.APPLIED),
    ]
    assert sorted(places.restarted) == ["place-1", "place-3"]


class _With:
    """The real store, with one call replaced."""

    def __init__(self, store: Any, **calls: Any) -> None:
        self._store, self._calls = store, calls

    def __getattr__(self, name: str) -> Any:
        return self._calls.get(name) or getattr(self._store, name)


# ---------------------------------------------------------------- did it help?


async def flight(store: SqliteStore, time: Time) -> tuple[Places, Watch]:
    """A watch that has just restarted the one place."""
    places, watch = await down(store, time, 1)
    await watch.cycle.run_once()
    assert places.restarted == ["place-1"]
    return places, watch


async def verdicts(store: SqliteStore) -> list[bool | None]:
    return [e.verified for e in await store.audit() if e.action == "restart"]


async def test_a_beat_of_the_new_life_verifies_it_once(store: SqliteStore, time: Time) -> None:
    _, watch = await flight(store, time)
    session = await store.open_session(new_session(target="place-1", incarnation="place-1-life-2"))
    time.go(1)
    await watch.cycle.run_once()
    assert await verdicts(store) == [None], "a session alone is no sign of life"
    await store.beat(session, loop_age=0.0, busy=0)
    time.go(1)
    with capture_logs() as logs:
        await watch.cycle.run_once()
        time.go(1)
        await watch.cycle.run_once()
    assert await verdicts(store) == [True]
    assert [line["event"] for line in logs].count("restart verified") == 1


async def test_silence_through_the_window_is_told_once_as_no_help(store: SqliteStore, time: Time) -> None:
    _, watch = await flight(store, time)
    time.go(20)
    await watch.cycle.run_once()
    assert await verdicts(store) == [None]
    time.go(11)
    with capture_logs() as logs:
        await watch.cycle.run_once()
        time.go(1)
        await watch.cycle.run_once()
    assert await verdicts(store) == [False]
    assert [line["event"] for line in logs].count("restart did not help") == 1


async def test_an_observing_cycle_judges_no_restart(store: SqliteStore, time: Time) -> None:
    """The worker could not beat while the store was away."""
    places, _ = await flight(store, time)
    time.go(60)
    late = Watch(store, time, platform=places, name="watch-1")
    await late.cycle.run_once()
    assert await verdicts(store) == [None]
