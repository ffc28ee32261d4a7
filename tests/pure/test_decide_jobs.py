"""Jobs failed for being late, and jobs taken back from lost workers (DESIGN rules 4, 6, 8, 11 and 15)."""

from __future__ import annotations

import pytest
from builders import ago
from world import (
    SIGKILL,
    control,
    dead_target,
    decided,
    facts,
    in_short,
    running,
    settings,
    target,
    waiting,
    worker,
    world,
)

from gradewatch.config import Timeouts
from gradewatch.model import ActionKind, Code, Credit

EXPIRE = ("expire", "job-1", Code.JOB_TIMED_OUT)
REQUEUE = ("requeue", "job-1", Code.WORKER_NOT_RUNNING)
SILENT = worker(silent=20.0)


# ---------------------------------------------------------------- late jobs


def test_a_job_nobody_started_is_failed_and_its_error_names_the_cause():
    [expire] = decided(world([waiting(400)], ever_seen=False))
    assert in_short([expire]) == [EXPIRE]
    assert expire.error.code == "schedule_to_start"
    assert expire.error.message == (
        "It waited for a worker for 6m40s, 5m00s allowed; cause: No worker has ever been seen on default: "
        "it was never deployed, or it looks at another store (worker_never_seen)."
    )


@pytest.mark.parametrize(
    ("cause", "seen"),
    [
        ("worker_not_running", world([waiting(400)])),
        ("workers_saturated", world([waiting(400)], workers=[worker(busy=2)])),
        ("worker_wedged", world([waiting(400)], workers=[worker(busy=0)])),
    ],
)
def test_the_error_of_a_late_job_names_why_it_waited(cause, seen):
    [expire] = [a for a in decided(seen) if a.kind is ActionKind.EXPIRE]
    assert expire.error.message.endswith(f"({cause}).")


def test_a_late_job_of_no_known_cause_makes_none_up():
    seen = world([waiting(400)], targets=[target(running_seconds=5.0)])
    [expire] = decided(seen)
    assert expire.error.message == "It waited for a worker for 6m40s, 5m00s allowed."


def test_short_spans_are_told_in_seconds():
    by = settings(timeouts=Timeouts(schedule_to_start=20.0))
    [expire] = decided(world([waiting(400)], queue=facts([waiting(45)], overdue_pending=(waiting(45),))), by)
    assert expire.message.startswith("waited for a worker for 45s, 20s allowed")


@pytest.mark.parametrize(("waited", "expected"), [(300.0, []), (300.5, [EXPIRE])])
def test_a_job_waits_for_schedule_to_start_and_no_longer(waited, expected):
    assert in_short(decided(world([waiting(waited)], workers=[worker()]))) == expected


@pytest.mark.parametrize(("ran", "expected"), [(1800.0, []), (1800.5, [EXPIRE])])
def test_a_job_runs_for_start_to_close_and_no_longer(ran, expected):
    assert in_short(decided(world([running(ran)], workers=[worker()]))) == expected


def test_the_error_of_a_job_that_ran_too_long_says_how_long():
    [expire] = decided(world([running(1900)], workers=[worker()]))
    assert (expire.error.code, expire.error.message) == ("start_to_close", "It ran for 31m40s, 30m00s allowed.")


def test_each_late_job_is_told_its_own_time():
    jobs = [running(1900, "a"), running(2000, "b"), running(1900.2, "c")]
    told = {a.subject: a.error.message for a in decided(world(jobs, workers=[worker()]))}
    assert told == {
        "a": "It ran for 31m40s, 30m00s allowed.",
        "b": "It ran for 33m20s, 30m00s allowed.",
        "c": "It ran for 31m40s, 30m00s allowed.",
    }


@pytest.mark.parametrize("kind", ["outage", "pause", "clock"])
def test_rule_6_nobody_is_failed_for_an_outage_a_pause_or_a_clock_step(kind):
    credited = control(credits=(Credit(kind, ago(250), ago(100)),))
    assert decided(world([waiting(400), running(1900, "job-2")], workers=[worker()], past=credited)) == ()


def test_rule_6_beyond_the_credit_a_job_is_late_all_the_same():
    credited = control(credits=(Credit("outage", ago(250), ago(200)),))
    [expire] = decided(world([waiting(400)], workers=[worker()], past=credited))
    assert expire.message.startswith("waited for a worker for 5m50s")


@pytest.mark.parametrize(
    ("kept", "job"),
    [({"on_schedule_to_start": "keep"}, waiting(400)), ({"on_start_to_close": "keep"}, running(1900))],
)
def test_a_queue_may_keep_its_late_jobs(kept, job):
    assert decided(world([job], workers=[worker()]), settings(**kept)) == ()


def test_nobody_is_failed_for_waiting_in_a_paused_queue_but_running_jobs_still_end():
    late = [waiting(400, "w"), running(1900, "r")]
    assert [a.subject for a in decided(world(late, workers=[worker()]), settings(paused=True))] == ["r"]


def test_rule_15_only_jobs_the_probe_passed_on_are_failed():
    """Kinds this version does not know never enter the facts: stats may count them, no repair concerns them."""
    unknown_kinds = facts(stats={"pending": 7, "oldest_pending_at": ago(9000)})
    assert decided(world(queue=unknown_kinds, workers=[worker()])) == ()


# ---------------------------------------------------------------- rule 4: starved workers keep their jobs


def test_rule_4_a_starved_worker_keeps_its_jobs():
    assert decided(world(held=[running(60)], workers=[worker(loop_age=60.0)])) == ()


def test_rule_4_a_starved_workers_job_ends_at_start_to_close():
    assert in_short(decided(world([running(1900)], workers=[worker(loop_age=60.0)]))) == [EXPIRE]


@pytest.mark.parametrize("held_by", [worker(), worker(silent=1.0, store_silent=500.0, seen_beating=False)])
def test_rule_4_nothing_is_taken_from_the_living_or_the_unknown(held_by):
    """The second is what a watch sees that was itself restarted: a stale session it has not yet watched."""
    assert decided(world(held=[running(60)], workers=[held_by])) == ()


# ---------------------------------------------------------------- taking jobs back


def test_the_job_of_a_silent_worker_is_taken_back():
    [requeue] = decided(world(held=[running(60)], workers=[SILENT]))
    assert in_short([requeue]) == [REQUEUE]
    assert requeue.message == (
        "worker-s1, which held it, is suspect: no beat for 20.0 s (limit 15 s); nothing proves its death"
    )


def test_the_job_of_a_dead_worker_is_taken_back_at_once():
    seen = world(held=[running(60)], workers=[worker(silent=0.1, incarnation="life-1")], targets=[dead_target()])
    assert REQUEUE in in_short(decided(seen))
    assert "its process ended: killed by SIGKILL" in decided(seen)[-1].message


def test_the_job_of_an_ended_session_is_taken_back():
    [requeue] = decided(world(held=[running(60, by="s9")], workers=[worker()]))
    assert requeue.message == "the session that held it (s9) has ended"


def test_rule_6_a_single_cycle_takes_back_on_the_stores_word():
    unwatched = worker(silent=0.0, store_silent=60.0, seen_beating=False)
    assert decided(world(held=[running(60)], workers=[unwatched])) == ()
    assert in_short(decided(world(held=[running(60)], workers=[unwatched], single=True))) == [REQUEUE]


def test_a_lost_job_that_is_late_too_is_failed_once():
    late = running(1900)
    assert in_short(decided(world(held=[late], workers=[SILENT]))) == [EXPIRE]


def test_on_lost_keep_leaves_it_where_it_is():
    assert decided(world(held=[running(60, lost=2)], workers=[SILENT]), settings(on_lost="keep")) == ()


def test_on_lost_fail_fails_it():
    [fail] = decided(world(held=[running(60)], workers=[SILENT]), settings(on_lost="fail"))
    assert in_short([fail]) == [("fail", "job-1", Code.WORKER_NOT_RUNNING)]
    assert fail.error.code == "worker_lost"
    assert "on_lost = fail" in fail.error.message


# ---------------------------------------------------------------- rule 11: attempts and poison


@pytest.mark.parametrize("on_lost", ["requeue", "fail"])
def test_rule_11_a_job_whose_workers_died_max_attempts_times_is_poison(on_lost):
    [fail] = decided(world(held=[running(60, lost=2, attempt=3)], workers=[SILENT]), settings(on_lost=on_lost))
    assert in_short([fail]) == [("fail", "job-1", Code.JOB_POISON)]
    assert fail.error.code == "job_poison"
    assert fail.error.message.startswith("It was running when its worker died, 3 times")
    assert "no beat for 20.0 s" in fail.error.message


def test_rule_11_one_death_fewer_is_not_poison():
    assert in_short(decided(world(held=[running(60, lost=1, attempt=2)], workers=[SILENT]))) == [REQUEUE]


def test_rule_11_a_job_lost_on_its_last_attempt_is_failed_but_is_no_poison():
    [fail] = decided(world(held=[running(60, lost=0, attempt=3)], workers=[SILENT]))
    assert in_short([fail]) == [("fail", "job-1", Code.WORKER_NOT_RUNNING)]
    assert fail.error.code == "attempts_exhausted"
    assert fail.error.message.startswith("Its last attempt (3 of 3) was lost with its worker")


def test_rule_11_a_job_that_was_alone_when_its_worker_died_is_no_suspect():
    [requeue] = decided(world(held=[running(60)], workers=[SILENT]))
    assert requeue.run_alone is False


def test_rule_11_jobs_that_died_together_run_alone_next_time():
    held = [running(60, "a"), running(50, "b"), running(40, "c", by="s2")]
    actions = decided(world(held=held, workers=[SILENT, worker("s2", silent=20.0)]))
    assert {a.subject: a.run_alone for a in actions} == {"a": True, "b": True, "c": False}


def test_rule_11_jobs_of_two_queues_that_died_together_run_alone_too():
    """One worker held a job of each queue: either may have killed it."""
    both = worker(silent=20.0, queues=("a", "b"))
    queues = {name: world(held=[running(60, f"job-{name}", queue=name)]).queues["default"] for name in ("a", "b")}
    actions = decided(world(workers=[both], queues=queues), settings(queues=("a", "b")))
    assert {a.subject: a.run_alone for a in actions} == {"job-a": True, "job-b": True}


# ---------------------------------------------------------------- order


def test_restarts_come_first_then_jobs_taken_back_then_late_jobs():
    seen = world(
        [waiting(400, "late")],
        held=[running(60, "lost")],
        workers=[worker(incarnation="life-1")],
        targets=[dead_target(how=SIGKILL)],
    )
    assert [a.kind for a in decided(seen)] == [ActionKind.RESTART, ActionKind.REQUEUE, ActionKind.EXPIRE]
