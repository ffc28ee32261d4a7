"""What gaps mean: an outage, a step of the store's clock, a watch that stood still."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from builders import NOW, queue_stats
from hypothesis import given
from hypothesis import strategies as st

from gradewatch.model import Credit, Known, QueueFacts, StoreFacts, Unknown
from gradewatch.probes.continuity import STEP, Continuation, Continuity, stepped_between

PATIENCE = 20.0
GOES_ON = Continuation(observe_only=False, contiguous=True)
HELD = Continuation(observe_only=True, contiguous=False)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


class Seeing:
    """A continuity that is told of readings by the seconds since the start, on both clocks."""

    def __init__(self) -> None:
        self.of = Continuity(PATIENCE)

    def good(self, mono: float, *, clock: float | None = None) -> Continuation:
        return self.of.see(Known(StoreFacts("sqlite", at(mono if clock is None else clock), 0.0), mono))

    def bad(self, mono: float) -> Continuation:
        return self.of.see(Unknown("it is away", mono))


@pytest.fixture
def seeing() -> Seeing:
    return Seeing()


def test_the_first_reading_only_observes(seeing: Seeing) -> None:
    assert seeing.good(0) == HELD
    assert seeing.good(5) == GOES_ON


def test_while_the_store_is_away_nothing_is_done_and_nothing_credited_yet(seeing: Seeing) -> None:
    seeing.good(0)
    assert [seeing.bad(5), seeing.bad(10)] == [HELD, HELD]


def test_an_outage_is_credited_from_the_last_good_reading(seeing: Seeing) -> None:
    seeing.good(0)
    seeing.good(5)
    seeing.bad(10)
    seeing.bad(15)
    back = seeing.good(17)
    assert back == Continuation(True, False, (Credit("outage", at(5), at(17)),))
    assert seeing.good(20) == GOES_ON


def test_an_outage_from_the_start_is_credited_from_the_first_failure(seeing: Seeing) -> None:
    seeing.bad(3)
    seeing.bad(8)
    assert seeing.good(13).credits == (Credit("outage", at(3), at(13)),)


def test_two_outages_are_two_credits_that_do_not_overlap(seeing: Seeing) -> None:
    seeing.good(0)
    seeing.bad(5)
    first = seeing.good(10)
    seeing.bad(15)
    second = seeing.good(20)
    assert (*first.credits, *second.credits) == (Credit("outage", at(0), at(10)), Credit("outage", at(10), at(20)))


def test_an_outage_over_which_the_clock_was_stepped_back_credits_nothing(seeing: Seeing) -> None:
    seeing.good(0)
    seeing.bad(5)
    assert seeing.good(10, clock=-3600) == HELD


def test_a_clock_stepped_forward_is_credited_with_the_step_alone(seeing: Seeing) -> None:
    seeing.good(0)
    stepped = seeing.good(5, clock=3605)
    assert stepped == Continuation(True, True, (Credit("clock", at(5), at(3605)),), clock_step=3600.0)
    assert seeing.good(10, clock=3610) == GOES_ON


def test_a_clock_stepped_back_only_observes(seeing: Seeing) -> None:
    seeing.good(0)
    assert seeing.good(5, clock=-3595) == Continuation(True, True, (), clock_step=-3600.0)
    assert seeing.good(10, clock=-3590) == GOES_ON


@pytest.mark.parametrize("drift", [-STEP, STEP])
def test_a_clock_that_only_drifts_is_not_stepped(seeing: Seeing, drift: float) -> None:
    seeing.good(0)
    assert seeing.good(10, clock=10 + drift) == GOES_ON


def test_a_watch_that_stood_still_observes_and_credits_nothing(seeing: Seeing) -> None:
    """The jobs did wait (DESIGN rule 6), but no silence of a worker in that time was seen."""
    seeing.good(0)
    assert seeing.good(PATIENCE + 0.1) == HELD
    assert seeing.good(PATIENCE + 5) == GOES_ON


def test_a_watch_that_stood_still_over_a_step_has_not_seen_that_time_either(seeing: Seeing) -> None:
    seeing.good(0)
    stepped = seeing.good(100, clock=3700)
    assert not stepped.contiguous
    assert (stepped.credits, stepped.clock_step) == ((Credit("clock", at(100), at(3700)),), 3600.0)


# ---------------------------------------------------------------- between two readings of one cycle


@pytest.mark.parametrize(("apart", "stepped"), [(2.0, False), (2.0 + STEP + 0.1, True), (-3600.0, True)])
def test_a_step_within_a_cycle_is_seen(apart: float, stepped: bool) -> None:
    store = Known(StoreFacts("sqlite", NOW, 0.0), 100.0)
    queue = Known(QueueFacts(queue_stats(now=at(apart))), 102.0)
    assert stepped_between(store, queue) is stepped
    assert not stepped_between(Unknown("away", 100.0), queue)
    assert not stepped_between(store, Unknown("away", 102.0))


# ---------------------------------------------------------------- whatever happens

Tick = tuple[float, bool, float]  # seconds that pass, whether the store answers then, its clock's step meanwhile


def ticks(steps: st.SearchStrategy[float]) -> st.SearchStrategy[list[Tick]]:
    return st.lists(st.tuples(st.floats(0.1, 60.0), st.booleans(), steps), max_size=30)


@given(ticks(st.just(0.0)))
def test_only_lost_time_is_credited_and_each_moment_once(ticks: list[Tick]) -> None:
    seeing, now = Seeing(), 0.0
    seen_well, lost, credits = [], 0.0, list[Credit]()
    for passed, answers, _ in ticks:
        began, now = now, now + passed
        well = answers and seen_well[-1:] == [began]
        lost += 0.0 if well else passed
        credits += (seeing.good(now) if answers else seeing.bad(now)).credits
        seen_well += [now] if answers else []
    assert sum((c.end - c.start).total_seconds() for c in credits) <= lost + 1e-3
    assert all(one.end <= next_.start for one, next_ in pairwise(credits))
    assert not [t for t in seen_well for c in credits if c.start < at(t) < c.end]


@given(ticks(st.floats(-0.9 * STEP, 0.9 * STEP) | st.floats(1.1 * STEP, 4000) | st.floats(-4000, -1.1 * STEP)))
def test_a_stepped_clock_is_credited_with_what_it_made_everybody_older(ticks: list[Tick]) -> None:
    """At most one credit a reading, up to that reading: for the step, or all that the clock went on in an outage."""
    seeing, mono, clock = Seeing(), 0.0, 0.0
    good: float | None = None  # the store's time of the last good reading
    failed: float | None = None  # the first failure since, by the monotonic clock
    for passed, answers, step in ticks:
        mono, clock = mono + passed, clock + passed + step
        if not answers:
            failed = mono if failed is None else failed
            assert seeing.bad(mono) == HELD
            continue
        aged = 0.0 if failed is None else mono - failed
        if good is not None:
            aged = clock - good if failed is not None else (step if step > STEP else 0.0)
        seen = seeing.good(mono, clock=clock)
        assert [c.end for c in seen.credits] == [at(clock)] * (aged > 0)
        assert sum((c.end - c.start).total_seconds() for c in seen.credits) == pytest.approx(max(0.0, aged), abs=1e-3)
        assert not seen.contiguous or (failed is None and good is not None and passed <= PATIENCE)
        good, failed = clock, None
