"""Restarts where a platform sees less than each life of a process: silence is what is left as evidence."""

from __future__ import annotations

import pytest
from builders import ago
from world import (
    DEFAULTS,
    UNREAD,
    control,
    decided,
    facts,
    found,
    in_short,
    restart,
    target,
    waiting,
    worker,
    world,
)

from gradewatch.limits import rule
from gradewatch.model import Code, ExitCause, ExitKind, Outcome, Sight

RESTART = ("restart", "place-1", Code.WORKER_NOT_RUNNING)
HERE = {"target": "place-1"}  # what a session of that place says of itself


def restarts(**of_world):
    return in_short(decided(world(**of_world)))


def unseen(**changes):
    return target(life="", pid=None, sight=Sight.NONE, **changes)


def process(**changes):
    """The platform names this life, and no session carries that name."""
    return target(life="place-1.1.4711", sight=Sight.PROCESS, **changes)


# ---------------------------------------------------------------- the process is seen, its sessions know the place


@pytest.mark.parametrize(("silent", "expected"), [(30.0, []), (30.1, [RESTART])])
def test_a_seen_process_is_judged_by_the_sessions_of_its_place(silent, expected):
    assert restarts(workers=[worker(silent=silent, **HERE)], targets=[process()]) == expected


def test_a_session_older_than_the_process_is_of_an_earlier_life():
    """The platform restarted it by itself: the silence of the one that died says nothing of the one that boots."""
    earlier = worker(silent=60.0, started_at=ago(500), **HERE)
    assert restarts(workers=[earlier], targets=[process(running_seconds=20.0)]) == []


@pytest.mark.parametrize(("age", "expected"), [(24.9, [RESTART]), (25.1, [])])
def test_the_ages_of_process_and_session_may_differ_by_the_clocks(age, expected):
    silent = worker(silent=60.0, started_at=ago(age), **HERE)
    assert restarts(workers=[silent], targets=[process(running_seconds=20.0)]) == expected


def test_a_seen_process_that_never_opens_a_session_is_restarted():
    earlier = worker(silent=60.0, started_at=ago(500), **HERE)
    [action] = decided(world(workers=[earlier], targets=[process(running_seconds=41.0)]))
    assert action.message == "place-1 has run for 41 s without opening a session"
    assert action.incarnation == "place-1.1.4711"


# ---------------------------------------------------------------- nobody sees the process


@pytest.mark.parametrize(("silent", "expected"), [(30.0, []), (30.1, [RESTART])])
def test_the_silence_of_its_sessions_is_evidence_against_an_unseen_place(silent, expected):
    assert restarts(workers=[worker(silent=silent, **HERE)], targets=[unseen()]) == expected


def test_what_is_said_of_an_unseen_place_does_not_claim_a_process():
    [action] = decided(world(workers=[worker(silent=60.0, **HERE)], targets=[unseen()]))
    assert action.message == "place-1 cannot be looked into by its platform, but it has not beaten for 60 s"


def test_one_of_its_workers_that_beats_speaks_for_an_unseen_place():
    """A service of several instances is restarted as a whole."""
    old, silent = worker("s1", **HERE), worker("s2", silent=60.0, started_at=ago(10), **HERE)
    assert restarts(workers=[silent, old], targets=[unseen()]) == []


def test_unknown_blocks_an_unseen_place_too():
    assert restarts(workers=UNREAD, targets=[unseen()]) == []


@pytest.mark.parametrize(("up", "expected"), [(9.9, []), (10.0, [RESTART])])
def test_an_unseen_place_has_its_start_grace_after_a_restart(up, expected):
    silent = worker(silent=60.0, **HERE)
    assert restarts(workers=[silent], targets=[unseen(running_seconds=up)]) == expected


@pytest.mark.parametrize(
    ("reason", "expected"), [("drained", []), ("stopped undrained", []), ("silent: no beat for 16 s", [RESTART])]
)
def test_a_worker_that_left_by_itself_is_no_evidence_where_nobody_sees_its_process(reason, expected):
    left = worker(silent=60.0, ended_at=ago(60), end_reason=reason, **HERE)
    assert restarts(workers=[left], targets=[unseen()]) == expected


def test_a_deserted_queue_where_work_waits_is_evidence_once_the_place_has_had_its_time():
    deserted = {"jobs": [waiting(20)], "targets": [unseen(running_seconds=40.1)]}
    [action] = decided(world(**deserted))
    assert (action.reason, action.message) == (
        Code.WORKER_NOT_RUNNING,
        "place-1 should work on default, where work waits and no worker is",
    )
    assert restarts(**deserted, ever_seen=False) == [("restart", "place-1", Code.WORKER_NEVER_SEEN)]
    assert restarts(jobs=[waiting(20)], targets=[unseen(running_seconds=40.0)]) == []


def test_without_work_an_unseen_place_is_not_restarted_for_nobody_being_there():
    assert restarts(targets=[unseen()]) == []
    assert restarts(targets=[unseen()], ever_seen=False) == []


def test_a_worker_that_does_not_say_its_place_is_not_restarted_over():
    stranger = worker(target="")
    assert restarts(jobs=[waiting(20)], workers=[stranger], targets=[unseen()]) == []


def test_another_queues_desertion_is_no_evidence():
    elsewhere = unseen(queues=("reports",))
    assert restarts(jobs=[waiting(20)], targets=[elsewhere]) == []


def test_an_unseen_place_whose_restart_is_being_verified_is_not_restarted_again():
    silent = worker(silent=60.0, **HERE)
    assert restarts(workers=[silent], targets=[unseen()], past=control(restart(20))) == []
    assert restarts(workers=[silent], targets=[unseen()], past=control(restart(40, False))) == [RESTART]


def test_a_wedged_worker_of_an_unseen_place_is_restarted():
    stuck = world(
        queue=facts([waiting(90)], stats={"last_started_at": ago(90)}),
        workers=[worker(busy=0, **HERE)],
        targets=[unseen()],
    )
    assert in_short(decided(stuck)) == [("restart", "place-1", Code.WORKER_WEDGED)]


# ---------------------------------------------------------------- what no restart would cure


def test_what_no_restart_would_cure_is_left_alone():
    image = ExitCause(ExitKind.GONE, detail="its last deploy failed")
    broken = target(running=False, last_exit=image, no_restart="no deploy of it is live")
    seen = world(targets=[broken])
    (ruling,) = rule(decided(seen), seen, DEFAULTS)
    assert (ruling.outcome, ruling.why) == (Outcome.SUPPRESSED, "no deploy of it is live")
    assert found(seen) == [Code.WORKER_NOT_RUNNING]
