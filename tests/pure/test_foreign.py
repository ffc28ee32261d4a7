"""A queue that another application owns: what is believed of its workers, why it waits, and what is taken back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from builders import ago
from mapped import TASKS
from world import (
    DEFAULTS,
    UNREAD,
    control,
    dead_target,
    decided,
    diagnosed,
    facts,
    finding,
    found,
    in_short,
    restart,
    running,
    settings,
    target,
    waiting,
    worker,
    world,
)

from gradewatch.history import verifications
from gradewatch.model import Code, ForeignFacts, Severity, Sight, Source, Verdict

FOREIGN = settings(foreign=TASKS)


def queue(*jobs: Any, unattributed: Any = (), unreadable: Any = (), run_twice: Any = (), **stats: Any) -> Any:
    told = ForeignFacts(tuple(unattributed), tuple(unreadable), tuple(run_twice))
    return facts(jobs, stats=stats, foreign=told)


def of_job(**changes: Any) -> Any:
    return worker(**({"source": Source.JOB} | changes))


# ---------------------------------------------------------------- verdicts


@pytest.mark.parametrize(
    ("reading", "verdict", "words"),
    [
        (of_job(silent=1.0), Verdict.ALIVE, "its job moved 1 s ago"),
        (of_job(silent=20.0), Verdict.SUSPECT, "neither moved nor beaten for 20 s (limit 15 s)"),
        (of_job(silent=1.0, store_silent=900.0, seen_beating=False), Verdict.UNKNOWN, "seen it still for only 1 s"),
        (of_job(silent=1.0, store_silent=900.0, seen_beating=True), Verdict.ALIVE, "its job moved 1 s ago"),
        (of_job(source=Source.NOTHING, silent=9000.0), Verdict.UNKNOWN, "nothing tells whether it lives"),
    ],
)
def test_a_worker_is_known_by_its_job_or_not_at_all(reading: Any, verdict: Verdict, words: str) -> None:
    [judged] = diagnosed(world(workers=[reading]), FOREIGN).verdicts
    assert judged.verdict is verdict
    assert words in judged.evidence


def test_jobs_that_fall_silent_together_say_nothing_about_the_monitor() -> None:
    workers = [of_job(id=f"job:default:{n}", silent=20.0) for n in range(5)]
    assert Code.MONITOR_SUSPECT not in found(world(workers=workers, queue=queue()), FOREIGN)
    assert Code.MONITOR_SUSPECT in found(world(workers=[worker(f"s{n}", silent=20.0) for n in range(5)]), DEFAULTS)


# ---------------------------------------------------------------- findings


def test_rows_that_cannot_be_understood_are_a_warning_on_the_queue() -> None:
    one = finding(Code.STORE_SCHEMA_MISMATCH, world(queue=queue(unreadable=["job 5: no created_at"])), FOREIGN)
    assert (one.severity, one.subject, one.evidence) == (Severity.WARNING, "default", ("job 5: no created_at",))


def test_double_work_is_told_for_each_job() -> None:
    seen = world(queue=queue(run_twice=[("t1", "w1 and w2"), ("t2", "late")]))
    one = finding(Code.JOB_RUN_TWICE, seen, FOREIGN, subject="t2")
    assert (one.severity, one.evidence, one.queue) == (Severity.WARNING, ("late",), "default")
    assert decided(seen, FOREIGN) == ()


def test_a_clock_behind_is_told_on_the_queue() -> None:
    told = facts(foreign=ForeignFacts(behind=3600.0))
    one = finding(Code.CLOCK_SKEW, world(queue=told), FOREIGN)
    assert (one.subject, one.severity) == ("default", Severity.WARNING)
    assert "3600 s into the past" in one.summary


def test_an_owned_queue_has_none_of_it() -> None:
    assert Code.JOB_RUN_TWICE not in found(world(), DEFAULTS)


@pytest.mark.parametrize(
    ("stats", "ever", "code"),
    [
        ({}, False, Code.WORKER_NEVER_SEEN),
        ({}, True, Code.WORKER_NOT_RUNNING),
        ({"last_started_at": ago(900)}, True, Code.WORKER_NOT_RUNNING),
        ({"last_started_at": ago(20)}, True, Code.WORKERS_SATURATED),
        ({"running": 2}, True, Code.WORKERS_SATURATED),
    ],
)
def test_why_its_jobs_wait(stats: dict[str, Any], ever: bool, code: Code) -> None:
    seen = world(queue=queue(waiting(100), **stats), ever_seen=ever)
    assert code in found(seen, FOREIGN)
    assert finding(code, seen, FOREIGN).evidence[0] == "1 pending, the oldest for 100 s"


@pytest.mark.parametrize("jobs", [(), (waiting(30),)], ids=["nothing waits", "not for long"])
def test_a_short_wait_is_no_finding(jobs: Any) -> None:
    assert found(world(queue=queue(*jobs), ever_seen=False), FOREIGN) == []


def test_a_worker_that_beats_is_judged_as_ours_are() -> None:
    seen = world(queue=queue(waiting(250)), workers=[worker(busy=2)])
    assert found(seen, FOREIGN) == [Code.WORKERS_SATURATED]
    assert "All 2 slots" in finding(Code.WORKERS_SATURATED, seen, FOREIGN).summary


# ---------------------------------------------------------------- what the platform proves


def test_a_job_older_than_every_process_that_could_run_it_is_lost() -> None:
    old, young = running(700, "old", by=None), running(500, "young", by=None)
    seen = world(queue=queue(unattributed=[old, young]), targets=[target(running_seconds=600.0)])
    assert in_short(decided(seen, FOREIGN)) == [("requeue", "old", Code.WORKER_NOT_RUNNING)]
    assert "no process that serves default is older than 600 s" in decided(seen, FOREIGN)[0].message
    assert decided(seen, settings(foreign=TASKS, on_lost="keep")) == ()


def test_where_no_process_is_left_every_running_job_is_lost_once_it_is_old_enough() -> None:
    gone = replace(target(), running=False, wanted=False)
    jobs = [running(20, "t1", by=None), running(10, "t2", by=None), replace(running(9, "t3", by=None), started_at=None)]
    seen = world(queue=queue(unattributed=jobs), targets=[gone])
    assert [a.subject for a in decided(seen, FOREIGN)] == ["t1"]


@pytest.mark.parametrize(
    "changes",
    [
        {"targets": UNREAD},
        {"targets": []},
        {"targets": [target(queues=("elsewhere",))]},
        {"targets": [target(running_seconds=690.0)]},
        {"targets": [target(running_seconds=5.0, may_be_older=690.0)]},
        {"targets": [target(running_seconds=5.0, may_be_older=float("inf"))]},
        {"targets": [target(running_seconds=5.0), target("place-2", sight=Sight.NONE)]},
        {"queue": UNREAD, "targets": [target()]},
    ],
    ids=[
        "platform unread",
        "no process known",
        "of another queue",
        "too close to tell",
        "it may be older than we know",
        "nobody knows how old",
        "one is out of sight",
        "queue unread",
    ],
)
def test_without_that_proof_nothing_is_taken_back(changes: dict[str, Any]) -> None:
    seen = world(**({"queue": queue(unattributed=[running(700, by=None)])} | changes))
    assert [action for action in decided(seen, FOREIGN) if action.job is not None] == []


def test_a_job_that_is_late_is_failed_and_not_taken_back_as_well() -> None:
    late = running(1900, by=None)
    told = replace(queue(unattributed=[late]), overdue_running=(late,))
    seen = world(queue=told, targets=[target(running_seconds=600.0)])
    assert in_short(decided(seen, FOREIGN)) == [("expire", "job-1", Code.JOB_TIMED_OUT)]


def test_an_owned_queue_does_not_go_by_the_age_of_processes() -> None:
    there = worker(incarnation="life-1", busy=1)
    assert decided(world(queue=facts([running(700)]), targets=[target()], workers=[there])) == ()


def test_a_worker_that_opens_no_session_is_not_restarted_for_it() -> None:
    """It is the application's: that it works is seen by its jobs, if at all."""
    seen = world(queue=queue(), targets=[target(running_seconds=9000.0), target("all", queues=())])
    assert decided(seen, FOREIGN) == ()
    assert [kind for kind, *_ in in_short(decided(seen, DEFAULTS))] == ["restart", "restart"]
    dead = world(queue=queue(), targets=[dead_target()])
    assert [kind for kind, *_ in in_short(decided(dead, FOREIGN))] == ["restart"]


@pytest.mark.parametrize(
    ("stats", "foreign", "verified"),
    [
        ({"last_started_at": ago(5)}, True, [True]),
        ({"last_finished_at": ago(5)}, True, [True]),
        ({"last_started_at": ago(90)}, True, []),
        ({"last_started_at": ago(5)}, False, []),
    ],
    ids=["a job begun", "a job finished", "one begun before", "a queue of ours"],
)
def test_a_restart_helped_when_a_job_follows(stats: dict[str, Any], foreign: bool, verified: list[bool]) -> None:
    facts_of = queue(**stats) if foreign else facts(stats=stats)
    past = control(restart(20))
    assert [helped for _, helped in verifications(world(queue=facts_of), past, 30.0)] == verified
    assert [helped for _, helped in verifications(world(queue=UNREAD), past, 30.0)] == []
    assert [helped for _, helped in verifications(world(queue=facts_of), control(restart(999)), 30.0)][-1:] != []


def test_a_platform_that_sees_no_process_proves_no_death() -> None:
    blind = replace(target(running_seconds=1.0), sight=Sight.NONE)
    seen = world(queue=queue(unattributed=[running(700, by=None)]), targets=[target(running_seconds=1.0), blind])
    assert decided(seen, FOREIGN) == ()
