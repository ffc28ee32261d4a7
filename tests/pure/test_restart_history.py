"""What earlier restarts say about the next one (DESIGN rules 8, 9 and 10)."""

from __future__ import annotations

import pytest
from builders import ago
from world import UNREAD, control, dead_target, restart, target, worker, world

from gradewatch.history import budget_left, cooldown_left, given_up, in_flight, restarts_of, verifications
from gradewatch.model import ActionKind, Outcome

PLACE = "place-1"


def test_a_target_has_only_its_own_restarts():
    mine, other = restart(90, True), restart(60, True, of="place-2")
    assert restarts_of(PLACE, control(mine, other)) == (mine,)


# ---------------------------------------------------------------- rule 8: in flight


@pytest.mark.parametrize(
    ("records", "flying"),
    [
        ([], False),
        ([restart(5)], True),
        ([restart(60, True)], False),
        ([restart(60, False)], False),
        ([restart(60, False), restart(5)], True),
        ([restart(5, outcome=Outcome.FAILED)], False),
        ([restart(5, of="place-2")], False),
    ],
)
def test_rule_8_a_restart_is_in_flight_until_it_is_judged(records, flying):
    assert (in_flight(PLACE, control(*records)) is not None) is flying


# ---------------------------------------------------------------- rule 10: verified remediation


@pytest.mark.parametrize(
    ("verified", "stopped"),
    [
        ([], False),
        ([False], False),
        ([False, False], True),
        ([False, False, False], True),
        ([True, False, False], True),
        ([False, True], False),
        ([False, True, False], False),
        ([False, None], False),
        ([False, False, True], False),
    ],
)
def test_rule_10_two_ineffective_restarts_in_a_row_stop_that_repair(verified, stopped):
    records = [restart(100.0 - n, v) for n, v in enumerate(verified)]
    assert given_up(PLACE, control(*records)) is stopped


def test_rule_10_resume_clears_what_came_before_it():
    failed = (restart(90, False), restart(60, False))
    assert not given_up(PLACE, control(*failed, resumed_at=ago(30)))
    assert given_up(PLACE, control(*failed, resumed_at=ago(120)))


def test_rule_10_after_a_resume_two_more_stop_it_again():
    records = (restart(90, False), restart(60, False), restart(20, False), restart(10, False))
    assert given_up(PLACE, control(*records, resumed_at=ago(30)))
    assert not given_up(PLACE, control(*records[:3], resumed_at=ago(30)))


def verdicts_on(*records, workers=(), targets=(), window=30.0):
    seen = world(workers=workers, targets=targets)
    return [ok for _, ok in verifications(seen, control(*records), window)]


def test_rule_10_a_beat_of_a_new_session_proves_a_restart():
    born = worker(target=PLACE, started_at=ago(3), beats=1)
    assert verdicts_on(restart(5), workers=[born]) == [True]


@pytest.mark.parametrize(
    ("why", "other"),
    [
        ("it is the old session", {"target": PLACE, "started_at": ago(600)}),
        ("it has not beaten yet", {"target": PLACE, "started_at": ago(3), "beats": 0}),
        ("it runs elsewhere", {"target": "place-2", "started_at": ago(3)}),
    ],
)
def test_rule_10_within_the_window_a_restart_without_proof_is_not_judged(why, other):
    assert verdicts_on(restart(5), workers=[worker(**other)]) == []
    assert verdicts_on(restart(31), workers=[worker(**other)]) == [False]


@pytest.mark.parametrize(
    ("why", "other"),
    [
        ("it was opened before the clock was stepped back", {"started_at": ago(-3590), "ended_at": ago(-3580)}),
        ("it has not been ended since", {"started_at": ago(-3590)}),
        ("it ended before the restart", {"started_at": ago(4), "ended_at": ago(5.5)}),
    ],
)
def test_rule_10_after_a_step_back_no_earlier_session_proves_a_restart(why, other):
    assert verdicts_on(restart(5), workers=[worker(target=PLACE, **other)]) == []


@pytest.mark.parametrize(
    ("why", "other"),
    [
        ("opened since, before the step", {"started_at": ago(-3610), "ended_at": ago(-3620)}),
        ("opened since the step, and open", {"started_at": ago(3)}),
    ],
)
def test_rule_10_a_step_back_behind_a_restart_does_not_hide_its_effect(why, other):
    assert verdicts_on(restart(-3600), workers=[worker(target=PLACE, **other)]) == [True]


def test_rule_10_behind_a_restart_the_platform_s_clock_says_when_the_window_has_passed():
    """The store's would say so an hour too late, and nothing of that queue be repaired until then."""
    for seconds, verdict in [(10.0, []), (31.0, [False])]:
        places = [target(PLACE, running_seconds=seconds), target("place-2", running_seconds=500.0)]
        assert verdicts_on(restart(-3600), targets=places) == verdict
    assert verdicts_on(restart(-3600), targets=[target(PLACE, running=False, running_seconds=31.0)]) == []


def test_rule_10_each_restart_is_judged_once_and_only_if_it_happened():
    past = [restart(90, True), restart(80, False), restart(70, outcome=Outcome.FAILED)]
    assert verdicts_on(*past) == []


def test_rule_10_a_place_without_a_life_is_not_proved_by_a_worker_that_names_none():
    elsewhere = worker(target="", incarnation="", started_at=ago(3), beats=5)
    assert verdicts_on(restart(5), workers=[elsewhere], targets=[dead_target(PLACE)]) == []


def test_rule_5_unread_workers_judge_no_restart():
    assert verdicts_on(restart(500), workers=UNREAD) == []


# ---------------------------------------------------------------- rule 9: cool-down and budget


@pytest.mark.parametrize(
    ("earlier", "wait"),
    [([], 0.0), ([0], 5.0), ([60, 0], 10.0), ([90, 60, 0], 20.0), ([120, 90, 60, 0], 40.0)],
)
def test_rule_9_the_cool_down_doubles_with_each_restart(earlier, wait):
    assert cooldown_left(PLACE, control(*map(restart, earlier)), base=5.0, most=600.0) == wait


def test_rule_9_the_cool_down_has_a_ceiling():
    many = [restart(float(n)) for n in range(20, -1, -1)]
    assert cooldown_left(PLACE, control(*many), base=5.0, most=600.0) == 600.0


def test_rule_9_a_storm_of_restarts_is_still_counted():
    storm = [restart(0.0)] * 100
    assert cooldown_left(PLACE, control(*storm), base=5.0, most=600.0) == 600.0


def test_rule_9_the_cool_down_runs_from_the_last_restart_and_forgets_after_an_hour():
    assert cooldown_left(PLACE, control(restart(60), restart(4)), base=5.0, most=600.0) == 6.0
    assert cooldown_left(PLACE, control(restart(60), restart(11)), base=5.0, most=600.0) == 0.0
    assert cooldown_left(PLACE, control(restart(3600), restart(0)), base=5.0, most=600.0) == 5.0


def test_rule_9_a_clock_stepped_back_does_not_lengthen_a_cool_down():
    """The record lies an hour ahead of the store's clock: no more than one full cool-down is owed."""
    assert cooldown_left(PLACE, control(restart(-3600)), base=5.0, most=600.0) <= 5.0


@pytest.mark.parametrize(("spent", "left"), [(0, 5), (3, 2), (5, 0), (9, 0)])
def test_rule_9_budgets_are_counted_from_the_audit_trail(spent, left):
    facts = control(spent={(ActionKind.RESTART, "default"): spent})
    assert budget_left(ActionKind.RESTART, "default", 5, facts) == left
    assert budget_left(ActionKind.RESTART, "other", 5, facts) == 5
    assert budget_left(ActionKind.EXPIRE, "default", 5, facts) == 5
