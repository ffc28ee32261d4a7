"""Waiting, less the time nobody may be blamed for (DESIGN rule 6)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from builders import NOW, ago
from hypothesis import given
from hypothesis import strategies as st
from world import running, waiting

from gradewatch.config import Timeouts
from gradewatch.history import credited_age, late_by
from gradewatch.model import Credit


def credit(start: float, end: float, kind: str = "outage") -> Credit:
    """A credited span, from so many seconds ago to so many seconds ago."""
    return Credit(kind, ago(start), ago(end))


@pytest.mark.parametrize(
    ("what", "credits", "age"),
    [
        ("nothing", [], 400),
        ("an outage", [credit(300, 200)], 300),
        ("a pause that began before the job", [credit(1000, 350)], 350),
        ("a pause that still lasts", [credit(50, -600, "pause")], 350),
        ("a span that holds all of it", [credit(1000, -1000)], 0),
        ("an outage long over", [credit(900, 500)], 400),
        ("an outage that ended as the job came", [credit(900, 400)], 400),
        ("a span yet to come", [credit(-10, -20)], 400),
        ("two outages apart", [credit(300, 250), credit(200, 100)], 250),
        ("an outage within a pause", [credit(300, 100, "pause"), credit(250, 200)], 200),
        ("an outage that runs into a pause", [credit(300, 200), credit(250, 100, "pause")], 200),
        ("one outage told twice", [credit(300, 200), credit(300, 200)], 300),
        ("a clock step", [credit(360, 60, "clock")], 100),
        ("a span the wrong way round", [credit(200, 300)], 400),
    ],
)
def test_rule_6_credited_time_is_taken_off_once(what, credits, age):
    assert credited_age(ago(400), NOW, credits) == age


def test_a_job_from_the_future_has_not_waited():
    """The store's clock was stepped back an hour after the job came."""
    assert credited_age(ago(-3600), NOW, []) == 0.0
    assert credited_age(ago(-3600), NOW, [credit(10, -7200)]) == 0.0


def test_a_pending_job_is_late_by_schedule_to_start():
    limits = Timeouts(schedule_to_start=300.0, start_to_close=1800.0)
    assert late_by(waiting(400), NOW, limits, []) == 100.0
    assert late_by(waiting(200), NOW, limits, []) == -100.0
    assert late_by(waiting(400), NOW, limits, [credit(200, 50)]) == -50.0


def test_a_running_job_is_late_by_start_to_close_since_its_start():
    limits = Timeouts(schedule_to_start=300.0, start_to_close=1800.0)
    assert late_by(running(1900), NOW, limits, []) == 100.0
    assert late_by(running(1900), NOW, limits, [credit(600, 0)]) == -500.0


def test_a_running_job_of_unknown_start_is_never_late():
    assert late_by(running(0, started_at=None), NOW, Timeouts(), []) == -1800.0


# ---------------------------------------------------------------- properties

moments = st.integers(-5_000_000, 5_000_000).map(lambda ms: NOW + timedelta(milliseconds=ms))
spans = st.builds(Credit, st.sampled_from(["outage", "pause", "clock"]), moments, moments)
credit_lists = st.lists(spans, max_size=8)


@given(since=moments, credits=credit_lists)
def test_the_credited_age_lies_between_nothing_and_the_raw_age(since, credits):
    raw = (NOW - since).total_seconds()
    assert 0.0 <= credited_age(since, NOW, credits) <= max(0.0, raw)


@given(first=moments, second=moments, credits=credit_lists)
def test_who_came_earlier_has_waited_as_long_at_least(first, second, credits):
    earlier, later = sorted((first, second))
    assert credited_age(earlier, NOW, credits) >= credited_age(later, NOW, credits) - 1e-6


@given(since=moments, credits=credit_lists, more=spans)
def test_another_credit_never_makes_anyone_older(since, credits, more):
    assert credited_age(since, NOW, [*credits, more]) <= credited_age(since, NOW, credits) + 1e-6


@given(data=st.data(), since=moments, credits=credit_lists)
def test_neither_order_nor_repetition_of_credits_matters(data, since, credits):
    shuffled = data.draw(st.permutations([*credits, *credits[:3]]))
    assert credited_age(since, NOW, shuffled) == pytest.approx(credited_age(since, NOW, credits), abs=1e-6)


@given(since=moments, credits=st.lists(spans, max_size=4))
def test_the_credited_age_is_what_counting_uncredited_seconds_gives(since, credits):
    """An oracle of another kind: sum the elementary intervals that no credit covers."""
    cuts = sorted({since, NOW, *(t for c in credits for t in (c.start, c.end) if since < t < NOW)})
    blamed = sum(
        (right - left).total_seconds()
        for left, right in pairwise(cuts)
        if since <= left < NOW and not any(c.start <= left and right <= c.end for c in credits)
    )
    assert credited_age(since, NOW, credits) == pytest.approx(blamed, abs=1e-6)


def test_what_a_job_waited_for_a_provider_is_taken_off_its_run():
    limits = Timeouts(schedule_to_start=300.0, start_to_close=1800.0)
    job = replace(running(2000), waited=500.0)
    assert late_by(job, NOW, limits, []) == -300.0
    assert late_by(replace(waiting(400), waited=500.0), NOW, limits, []) == 100.0, "only its run"
