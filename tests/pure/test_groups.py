"""Targets that somebody else replaces: pods of a Deployment. Restarts of its members count together, what no restart
cures is refused with the reason, and a restart is proved by whoever takes the place."""

from __future__ import annotations

from dataclasses import replace

import pytest
from builders import ago
from world import (
    DEFAULTS,
    OOM,
    UNREAD,
    control,
    decided,
    facts,
    finding,
    found,
    in_short,
    restart,
    ruled,
    target,
    waiting,
    worker,
    world,
)

from gradewatch.history import cooldown_left, given_up, in_flight, verifications
from gradewatch.model import Code, Exit, ExitCause, ExitKind, Outcome, Target, Verdict
from gradewatch.schedule import next_wake
from gradewatch.verdicts import judge

DEPLOYMENT = "web-worker"
HUNG = 40.0  # seconds of silence: more than twice the heartbeat timeout


def pod(name: str = "pod-a", *, life: str = "uid-a", **changes) -> Target:
    return replace(target(name, life=life), pid=None, group=DEPLOYMENT, **changes)


def whole(**changes) -> Target:
    plain = Target(DEPLOYMENT, ("default",), None, True, 600.0, incarnation="uid-d@1", group=DEPLOYMENT, whole=True)
    return replace(plain, **changes)


POD_B = pod("pod-b", life="uid-b")


def stopped(name: str = "pod-a", *, life: str = "uid-a", **changes) -> Target:
    return pod(name, life=life, **({"running": False, "running_seconds": 0.0} | changes))


def silent(id: str, life: str, seconds: float = HUNG):
    return worker(id, silent=seconds, incarnation=life, target=f"pod-{life[-1]}")


ABSENT = whole(
    running=False,
    running_seconds=0.0,
    incarnation="",
    problem="the Deployment web-worker does not exist in namespace exams",
    fix="Deploy it (kubectl apply).",
    no_restart="it does not exist",
)
IDLE = whole(running=False, wanted=False, problem="the Deployment web-worker is scaled to 0 replicas")


# ---------------------------------------------------------------- which one is restarted


def test_one_hung_pod_is_restarted_by_its_own_life():
    seen = world(
        workers=[silent("1", "uid-a/1f"), worker("2", incarnation="uid-b/2f")],
        targets=[whole(), pod(), POD_B],
    )
    [action] = decided(seen)
    assert (action.subject, action.incarnation, action.reason) == (
        f"{DEPLOYMENT}/pod-a",
        "uid-a",
        Code.WORKER_NOT_RUNNING,
    )


def test_of_several_members_one_goes_at_a_time_and_first_one_that_may():
    lives = [silent("1", "uid-a/1f", 0.5), silent("2", "uid-b/2f", 1.0), worker("3", incarnation="uid-c/3f")]
    wedged = [replace(w, session=replace(w.session, busy=0)) for w in lives[:2]]
    stats = {"last_started_at": ago(500)}
    seen = world(
        queue=facts([waiting(200)], stats=stats),
        workers=[*wedged, lives[2]],
        targets=[
            whole(),
            pod(no_restart="its owner is not known"),
            POD_B,
            pod("pod-c", life="uid-c"),
        ],
    )
    assert in_short(decided(seen)) == [("restart", f"{DEPLOYMENT}/pod-b", Code.WORKER_WEDGED)]


def test_where_all_are_at_fault_the_whole_is_restarted():
    seen = world(workers=[silent("1", "uid-a/1f"), silent("2", "uid-b/2f")], targets=[whole(), pod(), POD_B])
    [action] = decided(seen)
    assert (action.subject, action.incarnation) == (DEPLOYMENT, "uid-d@1")
    assert action.message.startswith(f"all 2 workers of {DEPLOYMENT}: pod-a hangs")


def test_a_single_member_is_no_reason_for_a_rollout():
    seen = world(workers=[silent("1", "uid-a/1f")], targets=[whole(), pod()])
    assert [a.subject for a in decided(seen)] == [f"{DEPLOYMENT}/pod-a"]


def test_without_the_whole_among_the_targets_one_member_goes():
    seen = world(workers=[silent("1", "uid-a/1f"), silent("2", "uid-b/2f")], targets=[pod(), POD_B])
    assert [a.subject for a in decided(seen)] == [f"{DEPLOYMENT}/pod-a"]


@pytest.mark.parametrize(
    ("targets", "jobs", "ever", "actions"),
    [
        ([ABSENT], [waiting(30)], False, [("restart", DEPLOYMENT, Code.WORKER_NEVER_SEEN)]),
        ([ABSENT], [waiting(30)], True, [("restart", DEPLOYMENT, Code.WORKER_NOT_RUNNING)]),
        ([IDLE], [waiting(30)], True, [("restart", DEPLOYMENT, Code.WORKER_NOT_RUNNING)]),
        ([IDLE], [], True, []),
        ([whole()], [waiting(30)], False, []),
    ],
)
def test_a_group_without_members_is_a_fault_only_while_work_waits(targets, jobs, ever, actions):
    assert in_short(decided(world(jobs, targets=targets, ever_seen=ever))) == actions


def test_nor_is_it_one_while_somebody_works_or_nobody_can_say():
    assert decided(world([waiting(30)], workers=[worker()], targets=[IDLE])) == ()
    assert decided(world([waiting(30)], workers=UNREAD, targets=[IDLE])) == ()
    assert decided(world(queue=UNREAD, targets=[IDLE])) == ()


# ---------------------------------------------------------------- refusals


def test_what_no_restart_cures_is_held_back_with_the_reason_and_holds_no_job():
    dying = stopped(last_exit=OOM, exits=(Exit(1.0, 30.0, OOM),), no_restart="raise its limit")
    rulings = ruled(world([waiting(400)], targets=[whole(), dying]))
    assert [(r.action.kind.value, r.outcome, r.why) for r in rulings] == [
        ("restart", Outcome.SUPPRESSED, "raise its limit"),
        ("expire", None, ""),
    ]


def test_what_is_refused_wakes_no_cycle_for_its_cooldown():
    past = control(restart(2, True, of=f"{DEPLOYMENT}/pod-a"))
    refused = world(targets=[stopped(no_restart="raise its limit")], past=past)
    assert next_wake(refused, DEFAULTS) is None
    assert next_wake(world(targets=[stopped()], past=past), DEFAULTS) == pytest.approx(3.02)


# ---------------------------------------------------------------- the past


def test_restarts_of_all_members_count_together():
    past = control(restart(8, False, of=f"{DEPLOYMENT}/pod-x"), restart(4, of=f"{DEPLOYMENT}/pod-y"))
    assert in_flight(f"{DEPLOYMENT}/pod-a", past) is not None
    assert cooldown_left(f"{DEPLOYMENT}/pod-a", past, 5.0, 600.0) == 6.0
    assert in_flight("web-worker-2/pod-a", past) is None
    failed = control(restart(8, False, of=f"{DEPLOYMENT}/pod-x"), restart(4, False, of=DEPLOYMENT))
    assert given_up(f"{DEPLOYMENT}/pod-a", failed)


@pytest.mark.parametrize("of", [f"{DEPLOYMENT}/pod-old", DEPLOYMENT])
def test_a_restart_helped_when_whoever_took_the_place_beats(of):
    past = control(restart(20, of=of))
    fresh = worker("new", incarnation="uid-b/2f", target="pod-b", started_at=ago(5), beats=2)
    members = [whole(), POD_B]
    assert [ok for _, ok in verifications(world(workers=[fresh], targets=members, past=past), past, 30.0)] == [True]
    other = [replace(t, group="another") for t in members]
    assert verifications(world(workers=[fresh], targets=other, past=past), past, 30.0) == []


def test_while_the_platform_does_not_answer_no_restart_is_called_ineffective():
    past = control(restart(60, of=f"{DEPLOYMENT}/pod-old"))
    assert verifications(world(targets=UNREAD, past=past), past, 30.0) == []
    assert [ok for _, ok in verifications(world(targets=[whole()], past=past), past, 30.0)] == [False]


def test_giving_up_is_told_once_for_the_group_and_ends_when_a_member_beats():
    past = control(restart(90, False, of=f"{DEPLOYMENT}/pod-x"), restart(60, False, of=f"{DEPLOYMENT}/pod-y"))
    told = finding(Code.REMEDIATION_INEFFECTIVE, world(targets=[whole(), pod()], past=past))
    assert told.subject == DEPLOYMENT
    well = world(workers=[worker(incarnation="uid-a/1f", target="pod-a")], targets=[whole(), pod()], past=past)
    assert Code.REMEDIATION_INEFFECTIVE not in found(well)


# ---------------------------------------------------------------- verdicts


@pytest.mark.parametrize(
    ("ended", "verdict"),
    [(("uid-a",), Verdict.DEAD), (("uid-a/1f",), Verdict.DEAD), (("uid-a/0e",), Verdict.ALIVE), ((), Verdict.ALIVE)],
)
def test_a_session_is_dead_with_its_pod_or_with_its_own_life_in_it(ended, verdict):
    seen = world(workers=[worker(incarnation="uid-a/1f")], targets=[pod(ended_incarnations=ended, last_exit=OOM)])
    [judged] = judge(seen, DEFAULTS)
    assert judged.verdict is verdict


def test_a_hung_pod_is_named_by_its_place():
    [judged] = judge(world(workers=[silent("1", "uid-a/1f")], targets=[pod()]), DEFAULTS)
    assert judged.target == "pod-a"
    assert "its place pod-a is still there" in judged.evidence


# ---------------------------------------------------------------- findings


def test_a_worker_never_seen_is_explained_by_what_the_platform_says():
    told = finding(Code.WORKER_NEVER_SEEN, world([waiting(30)], targets=[ABSENT], ever_seen=False))
    assert "does not exist in namespace exams" in told.summary
    assert told.fix == "Deploy it (kubectl apply)."
    down = finding(Code.WORKER_NOT_RUNNING, world([waiting(30)], targets=[IDLE]), subject="default")
    assert f"{DEPLOYMENT}: the Deployment web-worker is scaled to 0 replicas" in down.evidence


def test_a_memory_limit_is_suggested_in_numbers():
    ends = (Exit(20.0, 30.0, OOM), Exit(1.0, 30.0, OOM))
    two = [
        stopped(last_exit=OOM, exits=ends, memory_limit=512 << 20),
        stopped("pod-b", life="uid-b", last_exit=OOM, exits=ends[:1], memory_limit=512 << 20),
    ]
    told = finding(Code.WORKER_OOM_KILLED, world(targets=[whole(), *two]))
    assert told.subject == DEPLOYMENT
    assert told.summary == (
        f"pod-a was killed for using too much memory (its limit is 512Mi), and 1 more of {DEPLOYMENT}"
    )
    assert told.fix.startswith("Raise its memory limit from 512Mi to 768Mi, or lower worker.slots")
    assert len(told.evidence) == 3
    tiny = finding(Code.WORKER_OOM_KILLED, world(targets=[stopped(last_exit=OOM, exits=ends, memory_limit=1000)]))
    assert "from 1000 bytes to 64Mi" in tiny.fix


def test_a_crash_loop_of_a_pod_points_at_its_log():
    loop = ExitCause(ExitKind.CRASH_LOOP, 1, "in CrashLoopBackOff after 4 restarts")
    told = finding(Code.WORKER_CRASH_LOOP, world(targets=[stopped(last_exit=loop, exits=(Exit(1.0, 2.0, loop),))]))
    assert (told.subject, told.command) == (DEPLOYMENT, "kubectl logs --previous pod-a")
    assert "another restart on top is no cure" in told.fix


def test_members_that_are_down_are_one_finding():
    two = [stopped(problem="the image cannot be pulled", fix="Correct it."), stopped("pod-b", life="uid-b")]
    told = finding(Code.WORKER_NOT_RUNNING, world(targets=[whole(), *two]))
    assert told.subject == DEPLOYMENT
    assert told.summary == f"pod-a is not running: the image cannot be pulled, and 1 more of {DEPLOYMENT}"
    assert told.fix == "Correct it."
