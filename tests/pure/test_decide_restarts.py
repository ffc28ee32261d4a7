"""Which workers are restarted, and on what evidence (DESIGN rules 4, 8 and 10)."""

from __future__ import annotations

import pytest
from builders import ago
from world import (
    OOM,
    SIGKILL,
    control,
    dead_target,
    decided,
    facts,
    in_short,
    restart,
    target,
    waiting,
    worker,
    world,
)

from gradewatch.model import Code, ExitCause, ExitKind, Outcome

RESTART = ("restart", "place-1", Code.WORKER_NOT_RUNNING)
HERE = {"incarnation": "life-1"}  # a session of the process that runs in place-1


def restarts(**of_world):
    return in_short(decided(world(**of_world)))


# ---------------------------------------------------------------- dead processes


@pytest.mark.parametrize(
    ("how", "reason", "words"),
    [
        (SIGKILL, Code.WORKER_NOT_RUNNING, "place-1 killed by SIGKILL"),
        (ExitCause(ExitKind.EXITED, 0), Code.WORKER_NOT_RUNNING, "place-1 exited with code 0"),
        (OOM, Code.WORKER_OOM_KILLED, "place-1 oom killed"),
        (ExitCause(ExitKind.CRASH_LOOP), Code.WORKER_CRASH_LOOP, "place-1 crash loop"),
        (None, Code.WORKER_NOT_RUNNING, "place-1 is not running"),
    ],
)
def test_a_dead_target_is_restarted_and_told_how_it_died(how, reason, words):
    gone = dead_target(how=how) if how else target(running=False, life="")
    [action] = decided(world(targets=[gone]))
    assert in_short([action]) == [("restart", "place-1", reason)]
    assert action.message == words


def test_a_restart_names_the_incarnation_that_was_read():
    [action] = decided(world(targets=[target(running=False, life="life-7")]))
    assert (action.target, action.incarnation, action.queue) == ("place-1", "life-7", "default")


def test_a_target_that_serves_no_queue_can_be_restarted_too():
    [action] = decided(world(targets=[dead_target(queues=())]))
    assert action.queue == ""


def test_a_target_stopped_on_purpose_stays_stopped():
    assert restarts(targets=[dead_target(wanted=False)]) == []


# ---------------------------------------------------------------- rule 4: silence


@pytest.mark.parametrize(("silent", "expected"), [(16.0, []), (30.0, []), (30.1, [RESTART])])
def test_rule_4_a_process_that_is_there_is_restarted_after_two_timeouts_of_silence(silent, expected):
    assert restarts(workers=[worker(silent=silent, **HERE)], targets=[target()]) == expected


def test_rule_4_a_hung_worker_is_told_from_a_dead_one():
    [action] = decided(world(workers=[worker(silent=60.0, **HERE)], targets=[target()]))
    assert action.message == "place-1 hangs: its process is there, but it has not beaten for 60 s"


def test_rule_4_a_process_that_outlives_its_ended_session_hangs():
    ended = worker(silent=60.0, ended_at=ago(60), end_reason="taken for dead", **HERE)
    assert restarts(workers=[ended], targets=[target()]) == [RESTART]


def test_rule_4_the_newest_session_of_a_process_counts():
    """A worker that lost its session and opened another is not silent."""
    old = worker("s1", silent=200.0, started_at=ago(500), **HERE)
    new = worker("s2", silent=1.0, started_at=ago(100), **HERE)
    assert restarts(workers=[new, old], targets=[target()]) == []


def test_rule_6_a_single_cycle_finds_a_hung_worker_by_the_stores_clock():
    hung = worker(silent=0.0, store_silent=60.0, seen_beating=False, **HERE)
    assert restarts(workers=[hung], targets=[target()]) == []
    assert restarts(workers=[hung], targets=[target()], single=True) == [RESTART]


def test_rule_4_a_starved_worker_is_not_restarted():
    assert restarts(workers=[worker(loop_age=300.0, **HERE)], targets=[target()]) == []


def test_rule_4_a_silent_worker_of_another_place_is_no_evidence_here():
    elsewhere = worker("s2", silent=60.0, incarnation="life-9")
    assert restarts(workers=[worker(**HERE), elsewhere], targets=[target()]) == []


def test_rule_4_a_worker_nobody_supervises_is_no_evidence_against_a_place_without_a_known_life():
    stranger = worker(silent=60.0, incarnation="")
    young = target(life="", running_seconds=20.0)
    assert restarts(workers=[stranger], targets=[young]) == []


@pytest.mark.parametrize(("up", "expected"), [(9.9, []), (10.0, [RESTART])])
def test_a_target_younger_than_start_grace_is_not_restarted_for_silence(up, expected):
    silent = worker(silent=60.0, **HERE)
    assert restarts(workers=[silent], targets=[target(running_seconds=up)]) == expected


@pytest.mark.parametrize(("up", "expected"), [(20.0, []), (40.0, []), (40.1, [RESTART])])
def test_a_process_that_never_opened_a_session_is_restarted_after_grace_and_verify_window(up, expected):
    assert restarts(targets=[target(running_seconds=up)]) == expected


# ---------------------------------------------------------------- wedged


def test_a_wedged_worker_is_restarted():
    stuck = world(
        queue=facts([waiting(90)], stats={"last_started_at": ago(90)}),
        workers=[worker(busy=0, **HERE)],
        targets=[target()],
    )
    [action] = decided(stuck)
    assert in_short([action]) == [("restart", "place-1", Code.WORKER_WEDGED)]


def test_a_worker_that_is_only_idle_is_not_restarted():
    assert restarts(workers=[worker(busy=0, **HERE)], targets=[target()]) == []


# ---------------------------------------------------------------- rules 8 and 10


def test_rule_8_a_process_whose_restart_is_being_verified_is_not_restarted_again():
    young = target(running_seconds=20.0)
    silent = worker(silent=60.0, **HERE)
    assert restarts(workers=[silent], targets=[young], past=control(restart(20))) == []
    assert restarts(workers=[silent], targets=[young], past=control(restart(20, True))) == [RESTART]


def test_rule_8_a_process_that_died_while_being_verified_is_restarted_again():
    assert restarts(targets=[dead_target()], past=control(restart(3))) == [RESTART]


def test_rule_10_two_ineffective_restarts_stop_that_repair():
    failed = (restart(90, False), restart(60, False))
    assert restarts(targets=[dead_target()], past=control(*failed)) == []
    assert restarts(targets=[dead_target()], past=control(*failed, resumed_at=ago(10))) == [RESTART]


def test_rule_10_another_target_is_not_stopped_with_it():
    failed = control(restart(90, False), restart(60, False))
    there = dead_target("place-2", life="life-2")
    assert [a.subject for a in decided(world(targets=[dead_target(), there], past=failed))] == ["place-2"]


def test_rule_10_restarts_that_the_platform_refuses_help_nobody_either():
    """Otherwise they would be tried for ever, and would hold every waiting job as long (rule 8)."""
    refused = [restart(s, outcome=Outcome.FAILED) for s in (1200.0, 600.0)]
    assert restarts(targets=[dead_target()], past=control(*refused)) == []
