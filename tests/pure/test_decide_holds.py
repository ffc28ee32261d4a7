"""When nothing is decided at all: Unknown blocks, the first cycle observes, the fleet gate holds (rules 5, 6 and 7)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from world import (
    UNREAD,
    dead_target,
    decided,
    found,
    running,
    target,
    waiting,
    worker,
    world,
)

from gradewatch.model import ActionKind, Code

# A world with one reason for every kind of repair: a dead target, a lost job, a poisonous one, a late one.
TROUBLE = {
    "jobs": [waiting(400, "late")],
    "held": [running(60, "lost"), running(60, "poison", lost=2)],
    "workers": [worker(silent=60.0, incarnation="life-1")],
    "targets": [dead_target()],
}
ALL = {ActionKind.RESTART, ActionKind.REQUEUE, ActionKind.FAIL, ActionKind.EXPIRE}


def kinds(**changes) -> set[ActionKind]:
    return {a.kind for a in decided(world(**(TROUBLE | changes)))}


def test_with_everything_read_every_repair_is_decided():
    assert kinds() == ALL


@pytest.mark.parametrize(
    ("unread", "left"),
    [
        ({"store": UNREAD}, set()),
        ({"past": UNREAD}, set()),
        ({"queue": UNREAD}, {ActionKind.RESTART}),
        ({"workers": UNREAD}, {ActionKind.RESTART, ActionKind.EXPIRE}),
        ({"targets": UNREAD}, ALL - {ActionKind.RESTART}),
        ({"environment": UNREAD}, ALL),
    ],
    ids=["store", "control", "queue", "workers", "platform", "environment"],
)
def test_rule_5_an_unknown_reading_blocks_what_rests_on_it_and_no_more(unread, left):
    assert kinds(**unread) == left


def test_rule_5_a_running_process_is_not_restarted_because_the_sessions_could_not_be_read():
    assert decided(world(workers=UNREAD, targets=[target(running_seconds=600.0)])) == ()


def test_rule_5_one_unread_queue_does_not_hold_another():
    seen = world(**TROUBLE)
    two = replace(seen, queues={"other": UNREAD, **seen.queues})
    assert {a.kind for a in decided(two)} == ALL


def test_rule_6_the_first_cycle_observes_only():
    assert kinds(observe_only=True) == set()


def test_rule_7_the_fleet_gate_holds_everything():
    fleet = [worker(f"s{n}", silent=60.0) for n in range(3)]
    gated = TROUBLE | {"workers": fleet}
    assert Code.MONITOR_SUSPECT in found(world(**gated))
    assert decided(world(**gated)) == ()


def test_rule_7_two_silent_workers_are_no_fleet():
    assert kinds(workers=[worker("s1", silent=60.0), worker("s2", silent=60.0)]) == ALL
