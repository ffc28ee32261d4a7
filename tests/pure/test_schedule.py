"""When the next cycle is due before its regular time (DESIGN rule 2: waking is only ever about latency)."""

from __future__ import annotations

import pytest
from builders import ago
from world import (
    DEFAULTS,
    UNREAD,
    control,
    dead_target,
    decided,
    restart,
    running,
    target,
    waiting,
    worker,
    world,
)

from gradewatch.model import Credit, Pause
from gradewatch.schedule import MARGIN, next_wake


def wake(**of_world) -> float | None:
    seconds = next_wake(world(**of_world), DEFAULTS)
    return None if seconds is None else round(seconds - MARGIN, 6)


@pytest.mark.parametrize(
    ("what", "seen", "due"),
    [
        ("nothing at all", {}, None),
        ("a beat about to be missed", {"workers": [worker(silent=12.0)]}, 3.0),
        ("a missed beat about to be a hang", {"workers": [worker(silent=16.0)]}, 14.0),
        ("a hang long known", {"workers": [worker(silent=31.0)]}, None),
        ("the first of several beats", {"workers": [worker("a", silent=2.0), worker("b", silent=12.0)]}, 3.0),
        ("an ended session", {"workers": [worker(silent=12.0, ended_at=ago(1))]}, None),
        ("a wait about to be too long", {"jobs": [waiting(290)]}, 10.0),
        ("a wait too long already", {"jobs": [waiting(310)]}, None),
        ("a run about to be too long", {"jobs": [running(1790)]}, 10.0),
        ("a cool-down about to end", {"targets": [dead_target()], "past": control(restart(2, True))}, 3.0),
        ("a restart about to be judged", {"targets": [target()], "past": control(restart(20))}, 10.0),
        ("a restart judged", {"targets": [target()], "past": control(restart(20, True))}, None),
    ],
)
def test_wakes_for_the_next_thing_due(what, seen, due):
    assert wake(**seen) == due


def test_rule_6_credited_time_moves_a_timeout_away():
    outage = control(credits=(Credit("outage", ago(200), ago(150)),))
    assert wake(jobs=[waiting(290)], past=outage) == 60.0


def test_rule_13_nothing_comes_due_in_a_pause():
    paused = control(pause=Pause(ago(60), None, "ana"))
    assert wake(jobs=[waiting(290)], past=paused) is None


@pytest.mark.parametrize(
    ("unread", "seen"),
    [
        ("workers", {"workers": UNREAD}),
        ("queue", {"queue": UNREAD}),
        ("control", {"jobs": [waiting(290)], "past": UNREAD}),
        ("platform", {"targets": UNREAD, "past": control(restart(20))}),
    ],
)
def test_rule_5_nothing_is_expected_of_an_unknown_reading(unread, seen):
    assert wake(**seen) is None


def test_at_the_time_it_woke_for_the_repair_is_due():
    """The margin makes the comparison true there: otherwise the watch would wake for nothing, again and again."""
    before = world([waiting(299)], workers=[worker()])
    assert decided(before) == ()
    later = 299 + next_wake(before, DEFAULTS)
    assert [a.subject for a in decided(world([waiting(later)], workers=[worker()]))] == ["job-1"]
