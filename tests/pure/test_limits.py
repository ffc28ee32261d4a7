"""Which of the decided repairs may be taken now (DESIGN rules 8, 9 and 13)."""

from __future__ import annotations

import pytest
from builders import NOW, ago
from world import (
    UNREAD,
    control,
    dead_target,
    decided,
    restart,
    ruled,
    running,
    settings,
    target,
    waiting,
    worker,
    world,
)

from gradewatch.config import Budget
from gradewatch.config.settings import DEFAULT_BUDGETS
from gradewatch.limits import rule
from gradewatch.model import ActionKind, Outcome, Pause

LATE = [waiting(400)]


def rulings(seen, by=None):
    """(kind, outcome, why) of each ruling; outcome None means: go ahead."""
    return [(r.action.kind.value, r.outcome, r.why) for r in ruled(seen, by or settings())]


def budget(**counts: int):
    given = {ActionKind(kind): Budget(count, 600.0) for kind, count in counts.items()}
    return settings(remediation={"budget": {**DEFAULT_BUDGETS, **given}})


def test_within_all_limits_a_repair_goes_ahead():
    assert rulings(world(LATE)) == [("expire", None, "")]


# ---------------------------------------------------------------- mode and pause


def test_rule_13_dry_run_decides_and_touches_nothing():
    by = settings(remediation={"mode": "dry-run"})
    assert rulings(world(LATE), by) == [("expire", Outcome.DRY_RUN, "dry run: nothing is changed")]


def test_rule_13_dry_run_tells_what_a_limit_would_hold():
    by = settings(remediation={"mode": "dry-run", "budget": {**DEFAULT_BUDGETS, ActionKind.EXPIRE: Budget(1, 600.0)}})
    both = world([waiting(500, "a"), waiting(400, "b")])
    assert [outcome for _, outcome, _ in rulings(both, by)] == [Outcome.DRY_RUN, Outcome.SUPPRESSED]


def test_mode_off_holds_everything():
    by = settings(remediation={"mode": "off"})
    assert rulings(world(LATE, targets=[dead_target()]), by) == [
        ("restart", Outcome.SUPPRESSED, "remediation.mode is off"),
        ("expire", Outcome.SUPPRESSED, "remediation.mode is off"),
    ]


@pytest.mark.parametrize("mode", ["act", "dry-run"])
def test_rule_13_a_pause_holds_everything_and_says_whose(mode):
    paused = control(pause=Pause(ago(60), NOW, "ana"))
    by = settings(remediation={"mode": mode})
    assert rulings(world(LATE, past=paused), by) == [("expire", Outcome.SUPPRESSED, "repairs are paused by ana")]


def test_rule_5_without_the_audit_trail_nothing_goes_ahead():
    actions = decided(world(LATE))
    [ruling] = rule(actions, world(LATE, past=UNREAD), settings())
    assert (ruling.outcome, ruling.why) == (Outcome.SUPPRESSED, "the audit trail could not be read")


# ---------------------------------------------------------------- rule 8: restart before fail


HELD = ("expire", Outcome.SUPPRESSED, "held while place-1 is being restarted")


def test_rule_8_a_waiting_job_is_not_failed_in_the_cycle_that_restarts_its_worker():
    assert rulings(world(LATE, targets=[dead_target()])) == [("restart", None, ""), HELD]


def test_rule_8_nor_while_the_restart_is_being_verified():
    verifying = world(LATE, targets=[target(running_seconds=5.0)], past=control(restart(5)))
    assert rulings(verifying) == [HELD]


def test_rule_8_nor_while_a_restart_waits_for_its_cool_down():
    cooling = world(LATE, targets=[dead_target()], past=control(restart(4, False)))
    why = "cooling down after earlier restarts of place-1"
    assert rulings(cooling) == [("restart", Outcome.SUPPRESSED, why), HELD]


def test_rule_8_nor_when_the_platform_does_not_answer_while_a_restart_is_in_flight():
    assert rulings(world(LATE, targets=UNREAD, past=control(restart(5)))) == [HELD]


def test_rule_8_a_verified_restart_holds_no_longer():
    here = worker(busy=1, incarnation="life-1")
    done = world(LATE, workers=[here], targets=[target()], past=control(restart(60, True)))
    assert rulings(done) == [("expire", None, "")]


def test_rule_8_a_restart_whose_budget_is_spent_does_not_come_and_holds_nothing():
    spent = control(spent={(ActionKind.RESTART, "default"): 5})
    restarted, expired = rulings(world(LATE, targets=[dead_target()], past=spent))
    assert restarted[:2] == ("restart", Outcome.SUPPRESSED)
    assert expired == ("expire", None, "")


def test_rule_8_a_repair_given_up_holds_nothing():
    given_up = control(restart(90, False), restart(60, False))
    assert rulings(world(LATE, targets=[dead_target()], past=given_up)) == [("expire", None, "")]


def test_rule_8_holds_waiting_alone():
    """A job that ran too long, or that was lost, does not wait for a worker."""
    seen = world([running(1900, "long")], held=[running(60, "lost", by="s9")], targets=[dead_target()])
    assert [(kind, outcome) for kind, outcome, _ in rulings(seen)] == [
        ("restart", None),
        ("requeue", None),
        ("expire", None),
    ]


def test_rule_8_holds_every_queue_the_restarted_worker_serves_and_no_other():
    queues = {name: world([waiting(400, f"job-{name}", queue=name)]).queues["default"] for name in ("a", "b", "c")}
    seen = world(queues=queues, targets=[dead_target(queues=("a", "b"))])
    by = settings(queues=("a", "b", "c"))
    held = {r.action.queue: r.outcome for r in ruled(seen, by) if r.action.kind is ActionKind.EXPIRE}
    assert held == {"a": Outcome.SUPPRESSED, "b": Outcome.SUPPRESSED, "c": None}


def test_rule_8_holds_the_restarts_own_queue_when_its_target_is_no_longer_listed():
    actions = decided(world(LATE, targets=[dead_target()]))
    restarted, expired = rule(actions, world(LATE, targets=[]), settings())
    assert (restarted.outcome, expired.outcome) == (None, Outcome.SUPPRESSED)


# ---------------------------------------------------------------- rule 9: cool-down and budgets


def test_rule_9_a_cooled_down_target_is_restarted():
    assert rulings(world(targets=[dead_target()], past=control(restart(6, True)))) == [("restart", None, "")]


def test_rule_9_one_target_cooling_down_does_not_hold_another():
    seen = world(targets=[dead_target(), dead_target("place-2")], past=control(restart(4, True)))
    assert [outcome for _, outcome, _ in rulings(seen)] == [Outcome.SUPPRESSED, None]


def test_rule_9_a_budget_lets_through_what_is_left_of_it():
    three = world([waiting(500, "a"), waiting(450, "b"), waiting(400, "c")])
    why = "the budget of 2 in 600 s for expire on default is spent"
    assert rulings(three, budget(expire=2)) == [
        ("expire", None, ""),
        ("expire", None, ""),
        ("expire", Outcome.SUPPRESSED, why),
    ]


def test_rule_9_what_the_audit_trail_has_counts():
    """A restart of the watch changes nothing."""
    spent = control(spent={(ActionKind.EXPIRE, "default"): 1})
    two = world([waiting(500, "a"), waiting(400, "b")], past=spent)
    assert [outcome for _, outcome, _ in rulings(two, budget(expire=2))] == [None, Outcome.SUPPRESSED]


def test_rule_9_each_kind_and_queue_has_its_own_budget():
    spent = control(spent={(ActionKind.EXPIRE, "other"): 9, (ActionKind.REQUEUE, "default"): 9})
    assert rulings(world(LATE, past=spent), budget(expire=1, requeue=1)) == [("expire", None, "")]


def test_rule_9_a_held_repair_spends_nothing():
    verifying = control(restart(5))
    seen = world([waiting(400, "held"), running(1900, "long")], targets=[target(running_seconds=5.0)], past=verifying)
    assert [outcome for _, outcome, _ in rulings(seen, budget(expire=1))] == [Outcome.SUPPRESSED, None]
