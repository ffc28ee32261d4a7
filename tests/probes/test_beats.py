"""Silence, as far as this watch has seen it: never by a wall clock, never over an outage."""

from __future__ import annotations

from datetime import timedelta

import pytest
from builders import NOW, ago, session
from hypothesis import given
from hypothesis import strategies as st

from gradewatch.model import Session, WorkerReading
from gradewatch.probes.workers import BeatWatch


class Fleet:
    """One worker and the watch that looks at it. Time passes for both; the store's clock can be stepped."""

    def __init__(self) -> None:
        self.watch = BeatWatch()
        self.mono, self.clock = 500.0, NOW
        self.worker = session(beats=7, beat_at=ago(1000))

    def go(self, seconds: float) -> None:
        self.mono += seconds
        self.step(seconds)

    def step(self, seconds: float) -> None:
        self.clock += timedelta(seconds=seconds)

    def beat(self) -> None:
        self.worker = session(beats=self.worker.beats + 1, beat_at=self.clock)

    def look(self, *others: Session, contiguous: bool = True) -> WorkerReading:
        return self.watch.observe([self.worker, *others], self.clock, self.mono, contiguous=contiguous)[0]


@pytest.fixture
def fleet() -> Fleet:
    fleet = Fleet()
    fleet.look(contiguous=False)
    return fleet


def test_a_stale_beat_counts_only_from_the_first_look(fleet: Fleet) -> None:
    seen = fleet.look()
    assert (seen.silent_seconds, seen.watched_seconds, seen.store_silent_seconds) == (0.0, 0.0, 1000.0)
    assert not seen.seen_beating
    fleet.go(5)
    seen = fleet.look()
    assert (seen.silent_seconds, seen.watched_seconds, seen.store_silent_seconds) == (5.0, 5.0, 1005.0)


def test_silence_adds_up_look_by_look_and_a_beat_ends_it(fleet: Fleet) -> None:
    for _ in range(3):
        fleet.go(5)
        fleet.look()
    fleet.go(4)
    fleet.beat()
    fleet.go(1)
    seen = fleet.look()
    assert (seen.silent_seconds, seen.watched_seconds, seen.seen_beating) == (1.0, 20.0, True)


def test_a_session_opened_since_the_last_look_is_as_old_as_the_store_says(fleet: Fleet) -> None:
    fleet.go(5)
    fresh = session("s2", beats=0, beat_at=fleet.clock - timedelta(seconds=2))
    [_, seen] = fleet.watch.observe([fleet.worker, fresh], fleet.clock, fleet.mono, contiguous=True)
    assert (seen.silent_seconds, seen.watched_seconds, seen.seen_beating) == (2.0, 2.0, True)


@pytest.mark.parametrize(("age", "believed"), [(3600.0, 5.0), (-3600.0, 0.0)])
def test_the_first_age_of_a_session_is_clamped_to_what_was_watched(fleet: Fleet, age: float, believed: float) -> None:
    fleet.go(5)
    odd = session("s2", beat_at=fleet.clock - timedelta(seconds=age))
    [_, seen] = fleet.watch.observe([fleet.worker, odd], fleet.clock, fleet.mono, contiguous=True)
    assert (seen.silent_seconds, seen.watched_seconds) == (believed, believed)


def test_an_outage_forgets_the_silence_before_it_and_does_not_count_itself(fleet: Fleet) -> None:
    fleet.go(10)
    assert fleet.look().silent_seconds == 10
    fleet.go(60)
    seen = fleet.look(contiguous=False)
    assert (seen.silent_seconds, seen.watched_seconds) == (0.0, 0.0)
    fleet.go(3)
    assert fleet.look().silent_seconds == 3


def test_that_a_worker_was_seen_beating_outlasts_an_outage(fleet: Fleet) -> None:
    fleet.go(5)
    fleet.beat()
    fleet.look()
    fleet.go(60)
    assert fleet.look(contiguous=False).seen_beating


def test_time_in_which_nobody_looked_at_the_sessions_is_nobodys_silence(fleet: Fleet) -> None:
    fleet.go(5)
    fleet.look()
    fleet.watch.miss()
    fleet.go(60)
    assert fleet.look().silent_seconds == 0.0
    fleet.go(5)
    assert fleet.look().silent_seconds == 5.0


@pytest.mark.parametrize("step", [3600.0, -3600.0])
def test_a_step_of_the_stores_clock_makes_nobody_silent(fleet: Fleet, step: float) -> None:
    fleet.go(5)
    fleet.beat()
    fleet.look()
    fleet.go(5)
    fleet.step(step)
    assert fleet.look().silent_seconds == 5.0
    fleet.beat()
    assert fleet.look().silent_seconds == 0.0


def test_sessions_that_the_store_no_longer_lists_are_forgotten(fleet: Fleet) -> None:
    fleet.go(5)
    fleet.watch.observe([], fleet.clock, fleet.mono, contiguous=True)
    fleet.go(5)
    assert fleet.look().silent_seconds == 5.0, "it is a new one to this watch: clamped to one look's distance"


EVENTS = st.one_of(
    st.tuples(st.just("go"), st.floats(0.01, 100.0)),
    st.tuples(st.just("step"), st.floats(-7200.0, 7200.0)),
    st.tuples(st.just("beat"), st.just(0.0)),
    st.tuples(st.just("look"), st.just(0.0)),
    st.tuples(st.just("gap"), st.just(0.0)),
    st.tuples(st.just("miss"), st.just(0.0)),
)


@given(st.lists(EVENTS, max_size=40))
def test_nobody_is_silent_for_longer_than_he_was_watched(events: list[tuple[str, float]]) -> None:
    fleet = Fleet()
    fleet.look(contiguous=False)
    last = gap = fleet.mono  # the last look; the end of the last gap
    beaten: float | None = None  # the last look at which a new beat was seen
    news = missed = False
    for event, seconds in events:
        if event in ("go", "step"):
            getattr(fleet, event)(seconds)
        elif event == "beat":
            fleet.beat()
            news = True
        elif event == "miss":
            fleet.watch.miss()
            missed = True
        else:
            seen = fleet.look(contiguous=event == "look")
            gap = fleet.mono if event == "gap" or missed else gap
            since = max(gap, last if news else (beaten if beaten is not None else gap))
            assert 0.0 <= seen.silent_seconds <= seen.watched_seconds + 1e-6
            assert seen.watched_seconds <= fleet.mono - gap + 1e-6
            assert seen.silent_seconds <= fleet.mono - since + 1e-6, (
                "a beat resets: only the last look's distance is left"
            )
            beaten = last if news else beaten
            last, news, missed = fleet.mono, False, False
