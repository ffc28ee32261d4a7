"""Findings on the store, the credentials, the platform, the workers, the jobs and the repairs (DESIGN section 5)."""

from __future__ import annotations

import pytest
from builders import NOW, ago
from world import (
    OOM,
    SIGKILL,
    UNREAD,
    control,
    credential,
    dead_target,
    facts,
    finding,
    found,
    read,
    restart,
    running,
    settings,
    target,
    waiting,
    worker,
    world,
)

from gradewatch.model import ActionKind, Code, CredentialFacts, Exit, ExitCause, ExitKind, Severity, StoreFacts, Unknown

# ---------------------------------------------------------------- store


@pytest.mark.parametrize(
    ("code", "becomes"),
    [
        (None, Code.STORE_UNREACHABLE),
        (Code.STORE_UNREACHABLE, Code.STORE_UNREACHABLE),
        (Code.STORE_ACCESS_DENIED, Code.STORE_ACCESS_DENIED),
        (Code.STORE_SCHEMA_MISMATCH, Code.STORE_SCHEMA_MISMATCH),
        (Code.CLOCK_SKEW, Code.STORE_UNREACHABLE),
    ],
)
def test_a_store_that_does_not_answer_is_told_by_its_own_error(code, becomes):
    seen = world(store=Unknown("connection refused", 1000.0, code))
    told = finding(becomes, seen)
    assert told.severity is Severity.CRITICAL
    assert told.evidence == ("connection refused",)


def test_an_error_that_knows_better_says_its_own_fix():
    refused = Unknown("the key is revoked", 1000.0, Code.STORE_ACCESS_DENIED, "copy the new one")
    assert finding(Code.STORE_ACCESS_DENIED, world(store=refused)).fix == "copy the new one"
    plain = Unknown("permission denied", 1000.0, Code.STORE_ACCESS_DENIED)
    assert "role, key or file permission" in finding(Code.STORE_ACCESS_DENIED, world(store=plain)).fix


@pytest.mark.parametrize("probe", ["queue", "workers", "past"])
def test_rule_5_a_failed_probe_is_never_healthy(probe):
    """The store's own check passed, and then one of the other readings was refused."""
    refused = Unknown("permission denied for table jobs", 1000.0, Code.STORE_ACCESS_DENIED)
    assert Code.STORE_ACCESS_DENIED in found(world(**{probe: refused}))


def with_store(**changes):
    return world(store=read(StoreFacts("sqlite", NOW, **({"clock_offset": 0.0} | changes))))


def test_store_index_missing_names_them():
    seen = finding(Code.STORE_INDEX_MISSING, with_store(missing_indexes=("jobs_claim", "jobs_running")))
    assert seen.evidence == ("missing index jobs_claim", "missing index jobs_running")
    assert seen.command == "gradewatch migrate"


@pytest.mark.parametrize(("offset", "skewed"), [(10.0, False), (10.5, True), (-3600.0, True)])
def test_clock_skew_between_the_store_and_this_machine(offset, skewed):
    assert (Code.CLOCK_SKEW in found(with_store(clock_offset=offset))) is skewed


def test_clock_skew_when_the_stores_clock_was_stepped():
    seen = finding(Code.CLOCK_SKEW, world(clock_step=-3600.0))
    assert seen.evidence == ("the store's clock was stepped by -3600.0 s since the last cycle",)


# ---------------------------------------------------------------- credentials


@pytest.mark.parametrize("problem", [Code.CREDENTIAL_MISSING, Code.CREDENTIAL_INVALID])
def test_a_credential_that_cannot_be_used_names_its_variable(problem):
    seen = finding(problem, world(environment=read((credential(problem), credential(None, "MONGO_URL")))))
    assert seen.subject == "GROQ_API_KEY"
    assert seen.evidence == ("GROQ_API_KEY is not set",)


@pytest.mark.parametrize(
    ("problem", "severity"),
    [(Code.PROVIDER_UNAVAILABLE, Severity.CRITICAL), (Code.PROVIDER_RATE_LIMITED, Severity.WARNING)],
)
def test_a_provider_in_trouble_names_its_variable_and_what_to_do(problem, severity):
    fact = CredentialFacts("GROQ_API_KEY", "Groq", problem, "Groq answered 503", "Look at its status page.")
    seen = finding(problem, world(environment=read((fact,))))
    assert (seen.subject, seen.severity, seen.fix) == ("GROQ_API_KEY", severity, "Look at its status page.")
    assert seen.summary.startswith("Groq ")
    assert seen.evidence == ("Groq answered 503",)


def test_rule_5_an_unread_environment_says_nothing_of_credentials():
    assert found(world(environment=UNREAD)) == []


# ---------------------------------------------------------------- platform


def test_worker_not_running_names_a_place_that_is_down_and_how_it_ended():
    seen = finding(Code.WORKER_NOT_RUNNING, world(targets=[dead_target()]))
    assert (seen.subject, seen.severity) == ("place-1", Severity.WARNING)
    assert seen.summary == "place-1 is not running: killed by SIGKILL"
    assert seen.evidence == ("killed by SIGKILL 1 s ago, after 600.0 s",)


def test_worker_not_running_has_evidence_even_of_a_place_that_never_was_up():
    never = target(running=False, life="", queues=())
    seen = finding(Code.WORKER_NOT_RUNNING, world(targets=[never]))
    assert seen.summary == "place-1 is not running: it was never started"
    assert seen.evidence
    assert seen.queue is None


def test_a_place_stopped_on_purpose_is_no_finding():
    assert found(world(targets=[dead_target(wanted=False)])) == []


def with_exits(*exits: Exit, **changes):
    return world(targets=[target(exits=exits, **changes)])


def test_worker_oom_killed():
    seen = finding(Code.WORKER_OOM_KILLED, with_exits(Exit(30.0, 300.0, OOM)))
    assert (seen.subject, seen.queue) == ("place-1", "default")
    assert seen.evidence == ("oom killed 30 s ago, after 300.0 s",)


def test_an_old_memory_kill_is_no_longer_news():
    assert found(with_exits(Exit(600.0, 300.0, OOM))) == []


CRASH = ExitCause(ExitKind.EXITED, 1)


@pytest.mark.parametrize(
    ("what", "exits", "looping"),
    [
        ("three short lives", [Exit(50, 2, CRASH), Exit(40, 2, CRASH), Exit(30, 2, SIGKILL)], True),
        ("two", [Exit(40, 2, CRASH), Exit(30, 2, CRASH)], False),
        ("three clean ends", [Exit(s, 2, ExitCause(ExitKind.EXITED, 0)) for s in (50, 40, 30)], False),
        ("three long lives", [Exit(s, 60, CRASH) for s in (50, 40, 30)], False),
        ("three long ago", [Exit(s, 2, CRASH) for s in (900, 800, 700)], False),
    ],
)
def test_worker_crash_loop_is_three_short_lives(what, exits, looping):
    assert (Code.WORKER_CRASH_LOOP in found(with_exits(*exits))) is looping


@pytest.mark.parametrize("lifetime", [2.0, 300.0])
def test_worker_crash_loop_when_the_platform_says_so_with_its_evidence(lifetime):
    seen = finding(Code.WORKER_CRASH_LOOP, with_exits(Exit(5.0, lifetime, ExitCause(ExitKind.CRASH_LOOP)), queues=()))
    assert seen.evidence == (f"crash loop 5 s ago, after {lifetime:.1f} s",)
    assert seen.queue is None


def test_a_memory_kill_of_a_target_without_queues_belongs_to_no_queue():
    assert finding(Code.WORKER_OOM_KILLED, with_exits(Exit(5.0, 300.0, OOM), queues=())).queue is None


def test_rule_5_an_unread_platform_says_nothing():
    assert found(world(targets=UNREAD)) == []


# ---------------------------------------------------------------- workers


@pytest.mark.parametrize(("queues", "queue"), [(("default",), "default"), ((), None)])
def test_worker_starved_keeps_its_jobs(queues, queue):
    seen = finding(Code.WORKER_STARVED, world(workers=[worker(loop_age=60.0, queues=queues)]))
    assert seen.subject == "worker-s1"
    assert "keeps its jobs until start_to_close" in seen.fix
    assert seen.command == "py-spy dump --pid 4711"
    assert seen.queue == queue


def test_rule_7_monitor_suspect_lists_the_silent():
    seen = finding(Code.MONITOR_SUSPECT, world(workers=[worker("a"), worker("b", silent=60), worker("c", silent=70)]))
    assert seen.summary.startswith("2 of 3 workers fell silent together")
    assert [line.split(":")[0] for line in seen.evidence] == ["worker-b", "worker-c"]


# ---------------------------------------------------------------- jobs


def test_job_timed_out_counts_both_kinds_of_lateness():
    late = [waiting(400, "w1"), waiting(500, "w2"), running(1900, "r1")]
    seen = finding(Code.JOB_TIMED_OUT, world(late, workers=[worker()]))
    assert seen.summary == (
        "default: 2 jobs waited beyond schedule_to_start (300 s); 1 job ran beyond start_to_close (1800 s)"
    )
    assert seen.evidence == ("job w2", "job w1", "job r1")


def test_job_timed_out_says_at_least_when_the_list_was_cut():
    seen = world(queue=facts([waiting(400)], truncated=True), workers=[worker()])
    assert "at least 1 job waited" in finding(Code.JOB_TIMED_OUT, seen).summary


def test_job_timed_out_leaves_waiting_in_a_paused_queue_alone():
    assert Code.JOB_TIMED_OUT not in found(world([waiting(400)]), settings(paused=True))
    assert Code.JOB_TIMED_OUT in found(world([running(1900)]), settings(paused=True))


def test_job_poison_has_the_count_and_the_last_holder():
    seen = finding(Code.JOB_POISON, world(held=[running(60, lost=2), running(60, "job-2", lost=1)]))
    assert seen.subject == "job-1"
    assert seen.evidence == ("3 of 3 workers lost", "last held by session s1")
    assert seen.command == "gradewatch jobs show job-1"


# ---------------------------------------------------------------- repairs


INEFFECTIVE = control(restart(90, False), restart(60, False))


def test_rule_10_remediation_ineffective_pages_and_says_how_to_go_on():
    seen = finding(Code.REMEDIATION_INEFFECTIVE, world(past=INEFFECTIVE, targets=[dead_target()]))
    assert (seen.severity, seen.subject, seen.command) == (Severity.CRITICAL, "place-1", "gradewatch resume")


def test_rule_10_one_ineffective_restart_is_not_yet_a_finding():
    assert found(world(past=control(restart(90, True), restart(60, False)))) == []


@pytest.mark.parametrize("cleared", [{"workers": [worker(target="place-1")]}, {"past": control(resumed_at=ago(1))}])
def test_rule_10_a_beat_or_a_resume_clears_it(cleared):
    assert found(world(**({"past": INEFFECTIVE} | cleared))) == []


@pytest.mark.parametrize(("spent", "page"), [(4, False), (5, True), (6, True)])
def test_rule_9_a_spent_budget_pages(spent, page):
    seen = world(past=control(spent={(ActionKind.RESTART, "default"): spent}))
    assert (Code.REMEDIATION_BUDGET_SPENT in found(seen)) is page


def test_rule_9_a_spent_budget_is_told_in_figures():
    seen = finding(Code.REMEDIATION_BUDGET_SPENT, world(past=control(spent={(ActionKind.RESTART, "default"): 5})))
    assert seen.subject == "restart:default"
    assert seen.evidence == ("5 applied, 5 allowed in 3600 s",)


# ---------------------------------------------------------------- order


def test_the_gravest_finding_comes_first():
    seen = world([waiting(400)], ever_seen=False, clock_step=60.0)
    assert found(seen) == [Code.WORKER_NEVER_SEEN, Code.CLOCK_SKEW, Code.JOB_TIMED_OUT]


# ---------------------------------------------------------------- crashes that workers put on record


def crashed(id: str, seconds_ago: float, **changes):
    at = {"ended_at": ago(seconds_ago), "end_reason": "crashed: KeyError at tasks.py:41 in step", "name": "tasks-host"}
    return worker(id, **(at | changes))


def test_a_crash_on_record_is_found_until_its_worker_is_back() -> None:
    gone = finding(Code.WORKER_NOT_RUNNING, world([], workers=[crashed("s1", 7)]), subject="tasks-host")
    assert (gone.severity, gone.queue) == (Severity.WARNING, "default")
    assert gone.evidence == ("crashed: KeyError at tasks.py:41 in step, 7 s ago",)
    back = [crashed("s1", 7), worker("s2", name="tasks-host")]
    assert found(world([], workers=back)) == []
    silent = [crashed("s1", 7), worker("s2", name="tasks-host", silent=60)]
    assert Code.WORKER_NOT_RUNNING in found(world([], workers=silent))


def test_three_crashes_are_a_loop_even_while_it_runs_again() -> None:
    workers = [crashed("s1", 9), crashed("s2", 90), crashed("s3", 40), worker("s4", name="tasks-host")]
    loop = finding(Code.WORKER_CRASH_LOOP, world([], workers=workers))
    assert (loop.severity, loop.subject) == (Severity.CRITICAL, "tasks-host")
    assert [line.rsplit(", ", 1)[1] for line in loop.evidence] == ["90 s ago", "40 s ago", "9 s ago"]


def test_an_orderly_end_and_an_unread_store_are_no_crash() -> None:
    assert found(world([], workers=[crashed("s1", 7, end_reason="drained")])) == []
    of = world([], workers=[crashed("s1", 7)], store=UNREAD)
    assert Code.WORKER_NOT_RUNNING not in found(of)
    assert found(world([], workers=[crashed("s1", 7, queues=())])) == [Code.WORKER_NOT_RUNNING]
