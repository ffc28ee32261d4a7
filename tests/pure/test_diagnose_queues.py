"""Why the jobs of one queue wait: one cause, with evidence and the way out (DESIGN section 5)."""

from __future__ import annotations

import pytest
from builders import NOW, ago
from world import (
    DEFAULTS,
    SIGKILL,
    UNREAD,
    control,
    dead_target,
    diagnosed,
    facts,
    finding,
    found,
    running,
    settings,
    target,
    waiting,
    worker,
    world,
)

from gradewatch.model import RUN_BOUNDS, Code, Credit, Histogram, Pause, Severity, Verdict

PAUSE = Pause(ago(60), until=None, by="ana", reason="moving the database")


def test_a_healthy_queue_has_no_findings():
    assert found(world([waiting(2), running(20, "job-2")], workers=[worker()])) == []


# ---------------------------------------------------------------- worker_never_seen


def test_worker_never_seen_with_the_way_out():
    seen = finding(Code.WORKER_NEVER_SEEN, world([waiting(400)], ever_seen=False))
    assert seen.severity is Severity.CRITICAL
    assert seen.evidence == (
        "1 pending, the oldest eligible one for 400 s",
        "no session was ever opened for this queue",
    )
    assert seen.command == "gradewatch worker"
    assert (seen.subject, seen.queue) == ("default", "default")


def test_worker_never_seen_is_only_a_warning_while_nobody_waits():
    assert finding(Code.WORKER_NEVER_SEEN, world(ever_seen=False)).severity is Severity.WARNING


def test_a_queue_the_store_says_nothing_of_was_never_served():
    assert Code.WORKER_NEVER_SEEN in found(world(queue=facts([waiting(10)]), ever_seen=False))


@pytest.mark.parametrize("probe", ["workers", "store"])
@pytest.mark.parametrize("ever_seen", [True, False])
def test_rule_5_no_absence_of_workers_is_concluded_from_an_unknown_reading(probe, ever_seen):
    codes = found(world([waiting(400)], ever_seen=ever_seen, **{probe: UNREAD}))
    assert Code.WORKER_NEVER_SEEN not in codes
    if probe == "workers":
        assert Code.WORKER_NOT_RUNNING not in codes


# ---------------------------------------------------------------- worker_not_running


def test_worker_not_running_when_none_is_left():
    seen = finding(Code.WORKER_NOT_RUNNING, world([waiting(100)]))
    assert seen.severity is Severity.CRITICAL
    assert seen.evidence == ("1 pending, the oldest eligible one for 100 s",)


def test_worker_not_running_tells_of_the_lost_and_how_they_ended():
    lost = worker(silent=90.0, incarnation="life-1")
    seen = world([waiting(100)], workers=[lost], targets=[dead_target()])
    seen = finding(Code.WORKER_NOT_RUNNING, seen, subject="default")
    assert seen.evidence[1:] == ("worker-s1: its process ended: killed by SIGKILL", "place-1: killed by SIGKILL")


def test_worker_not_running_concerns_running_jobs_too():
    assert Code.WORKER_NOT_RUNNING in found(world(held=[running(60)]))


def test_an_empty_queue_needs_no_worker():
    assert found(world()) == []


def test_a_worker_of_another_queue_does_not_serve_this_one():
    assert found(world([waiting(100)], workers=[worker(queues=("reports",))])) == [Code.WORKER_NOT_RUNNING]


def test_a_starved_worker_is_there():
    assert Code.WORKER_NOT_RUNNING not in found(world([waiting(100)], workers=[worker(loop_age=60.0)]))


def test_a_target_just_started_gets_its_grace():
    young = target(running_seconds=9.0, last_exit=SIGKILL)
    assert found(world([waiting(100)], targets=[young])) == []
    assert found(world([waiting(100)], targets=[target(running_seconds=10.0)])) == [Code.WORKER_NOT_RUNNING]


# ---------------------------------------------------------------- workers_saturated


def saturated(**stats):
    queue = facts([waiting(100)], stats={"pending": 60, "running": 2, **stats}, arrival_rate=0.1)
    return world(queue=queue, workers=[worker(busy=2)])


def test_workers_saturated_names_the_number_that_would_keep_up():
    """0.1 jobs/s of 30 s each are 3 slots; 60 waiting x 30 s within 300 s are 6; 2 are busy: 11 slots, 6 workers."""
    runs = {"succeeded": Histogram(RUN_BOUNDS, (0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0), 300.0)}
    seen = finding(Code.WORKERS_SATURATED, saturated(run_seconds=runs))
    assert seen.severity is Severity.WARNING
    assert seen.summary == (
        "All 2 slots for default are busy and work waits: about 6 workers would keep up, 1 are running"
    )
    assert seen.evidence == ("60 pending, 2 running", "the oldest eligible one has waited 100 s")


def test_workers_saturated_makes_no_number_up_before_anything_has_finished():
    empty = {"failed": Histogram(RUN_BOUNDS, (0,) * 12, 0.0)}
    assert finding(Code.WORKERS_SATURATED, saturated(run_seconds=empty)).summary.endswith("work waits: 1 are running")


def test_workers_saturated_always_asks_for_one_more_at_least():
    runs = {"succeeded": Histogram(RUN_BOUNDS, (10,) + (0,) * 11, 1.0)}
    queue = facts([waiting(100)], stats={"run_seconds": runs})
    seen = finding(Code.WORKERS_SATURATED, world(queue=queue, workers=[worker(busy=2)]))
    assert "about 2 workers would keep up, 1 are running" in seen.summary


@pytest.mark.parametrize(("waited", "expected"), [(60.0, []), (61.0, [Code.WORKERS_SATURATED])])
def test_a_short_wait_with_all_slots_busy_is_an_ordinary_rush(waited, expected):
    assert found(world([waiting(waited)], workers=[worker(busy=2)])) == expected


def test_all_slots_busy_and_nobody_waiting_is_no_finding():
    assert found(world([running(20)], workers=[worker(busy=2)])) == []


# ---------------------------------------------------------------- worker_wedged


def wedged(waited: float = 90.0, started: float | None = 90.0, **of_worker):
    last = None if started is None else ago(started)
    queue = facts([waiting(waited)], stats={"last_started_at": last})
    return world(queue=queue, workers=[worker(**({"busy": 0} | of_worker))])


@pytest.mark.parametrize("started", [None, 90.0])
def test_worker_wedged_alive_idle_and_work_waits(started):
    seen = finding(Code.WORKER_WEDGED, wedged(started=started))
    assert seen.severity is Severity.CRITICAL
    assert (seen.subject, seen.queue) == ("worker-s1", "default")
    assert "the oldest eligible job has waited 90 s" in seen.evidence


@pytest.mark.parametrize(
    ("why", "otherwise"),
    [
        ("the job came just now", {"waited": 60.0}),
        ("jobs are being started", {"started": 60.0}),
        ("it is busy", {"busy": 1}),
        ("it is starved, which is another finding", {"loop_age": 60.0}),
        ("it has only just opened its session", {"started_at": ago(60)}),
    ],
)
def test_a_worker_is_not_wedged_when(why, otherwise):
    assert Code.WORKER_WEDGED not in found(wedged(**otherwise))


def test_an_outage_is_credited_to_a_wedged_worker():
    outage = control(credits=(Credit("outage", ago(80), ago(30)),))
    queue = facts([waiting(90)], stats={"last_started_at": ago(90)})
    assert found(world(queue=queue, workers=[worker(busy=0)], past=outage)) == []


def test_a_worker_of_two_queues_is_wedged_once():
    """(code, subject) is a finding's identity from one cycle to the next."""
    both = world(
        workers=[worker(busy=0, queues=("a", "b"))],
        queues={name: world(queue=facts([waiting(90)])).queues["default"] for name in ("a", "b")},
    )
    findings = diagnosed(both, settings(queues=("a", "b"))).findings
    assert len({(f.code, f.subject) for f in findings}) == len(findings)


# ---------------------------------------------------------------- queue_paused


def test_a_queue_paused_in_the_settings_waits_for_nobody():
    seen = world([waiting(400)], ever_seen=False)
    assert found(seen, settings(paused=True)) == [Code.QUEUE_PAUSED]
    assert finding(Code.QUEUE_PAUSED, seen, settings(paused=True)).severity is Severity.INFO


def test_paused_repairs_are_told_with_who_and_why():
    seen = finding(Code.QUEUE_PAUSED, world(past=control(pause=PAUSE)))
    assert seen.summary == "Repairs of default are paused until somebody resumes"
    assert seen.evidence == ("paused by ana: moving the database",)
    assert seen.command == "gradewatch resume"


def test_paused_repairs_are_told_with_their_end():
    seen = finding(Code.QUEUE_PAUSED, world(past=control(pause=Pause(ago(60), NOW, "ana"))))
    assert seen.summary == "Repairs of default are paused until 2026-03-02 09:00:00 UTC"
    assert seen.evidence == ("paused by ana",)


def test_rule_13_a_pause_of_the_repairs_leaves_the_diagnosis_alone():
    codes = found(world([waiting(400)], ever_seen=False, past=control(pause=PAUSE)))
    assert codes == [Code.WORKER_NEVER_SEEN, Code.JOB_TIMED_OUT, Code.QUEUE_PAUSED]


# ---------------------------------------------------------------- Unknown readings


@pytest.mark.parametrize("probe", [{"queue": UNREAD}, {"past": UNREAD}])
def test_rule_5_nothing_is_said_of_a_queue_that_could_not_be_read(probe):
    assert found(world([waiting(400)], ever_seen=False, **probe)) == []


def test_verdicts_are_part_of_a_diagnosis():
    [verdict] = diagnosed(world(workers=[worker()]), DEFAULTS).verdicts
    assert verdict.verdict is Verdict.ALIVE
