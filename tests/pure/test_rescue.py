"""When the watch should run a worker itself, and when it should stop: from snapshots alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from builders import ago, session
from world import (
    OOM,
    SIGKILL,
    UNREAD,
    control,
    decided,
    diagnosed,
    facts,
    finding,
    found,
    restart,
    running,
    settings,
    target,
    waiting,
    worker,
    world,
)

from gradewatch.config import Settings, WatchSettings
from gradewatch.config.foreign import ForeignSettings
from gradewatch.limits import rule
from gradewatch.model import Action, ActionKind, Code, Exit, Outcome, Pause, Snapshot, Target
from gradewatch.rescue import KINDS, decide_rescues, ended, relieved
from gradewatch.worker.payload import GRADE

ON = WatchSettings(rescue=True)
RESCUER = "rescue:default"


def allowed(**queue: object) -> Settings:
    return replace(settings(**queue), watch=ON)  # type: ignore[arg-type]


def rescues(of: Snapshot, by: Settings | None = None) -> tuple[Action, ...]:
    by = by or allowed()
    return decide_rescues(of, diagnosed(of, by), by)


def stuck(**changes: object) -> Snapshot:
    """A job has waited for longer than two minutes, and nobody is there."""
    return world([waiting(150)], **{"ever_seen": False, **changes})  # type: ignore[arg-type]


def rescuer(**changes: object) -> Target:
    plain = target("rescue-host-1", life="rescue-1", queues=(RESCUER,), wanted=False)
    return replace(plain, **changes)  # type: ignore[arg-type]


def test_it_knows_the_kind_that_our_worker_runs() -> None:
    assert {GRADE} == KINDS


def test_a_queue_that_nobody_ever_claimed_from_is_rescued() -> None:
    [action] = rescues(stuck())
    assert (action.kind, action.queue, action.target) == (ActionKind.RESCUE, "default", RESCUER)
    assert action.reason is Code.WORKER_NEVER_SEEN
    assert "nobody has claimed for 150 s" in action.message
    [gone] = rescues(stuck(ever_seen=True))
    assert gone.reason is Code.WORKER_NOT_RUNNING


@pytest.mark.parametrize(
    "calm",
    [
        world([]),
        world([waiting(100)]),
        world([waiting(150)], queue=facts([waiting(150)], stats={"last_started_at": ago(60)})),
        world([waiting(150)], workers=[worker()]),
        world([waiting(150)], workers=[worker(loop_age=60.0)]),
        world([waiting(150)], workers=[worker(silent=1, store_silent=60)]),
        world([waiting(150)], workers=[worker(queues=(RESCUER,))]),
        world([waiting(150)], targets=[target()]),
        world([waiting(150)], targets=[rescuer()]),
        world([waiting(150)], single=True),
        world([waiting(150)], observe_only=True),
        world(queue=UNREAD),
    ],
    ids=[
        "nothing waits",
        "nothing waits for long",
        "somebody claimed not long ago",
        "a worker lives",
        "a worker is starved",
        "a worker may live",
        "another watch rescues",
        "a process has started",
        "ours has started",
        "a single cycle",
        "a first cycle",
        "an unread queue",
    ],
)
def test_who_needs_no_rescue_gets_none(calm: Snapshot) -> None:
    assert rescues(calm) == ()


@pytest.mark.parametrize("unread", ["store", "workers", "platform", "control"])
def test_unknown_blocks(unread: str) -> None:
    assert rescues(replace(stuck(), **{unread: UNREAD})) == ()


def test_it_is_off_unless_it_is_set() -> None:
    assert rescues(stuck(), settings()) == ()
    assert rescues(stuck(), allowed(paused=True)) == ()
    assert rescues(stuck(), allowed(kinds=("export",))) == ()
    assert rescues(stuck(), allowed(foreign=ForeignSettings("jobs"))) == (), "nobody else's queue is worked"
    assert rescues(stuck(), replace(allowed(), watch=replace(ON, rescue_after=200.0))) == ()


def test_the_fleet_gate_holds_it() -> None:
    silent = [worker(f"s{n}", silent=60) for n in range(3)]
    assert rescues(stuck(workers=silent)) == ()
    assert len(rescues(stuck(workers=silent[:1]))) == 1, "one silent worker is no fleet, and none that lives"


def test_one_that_crashes_is_started_later_each_time() -> None:
    def crashed(*seconds_ago: float) -> Snapshot:
        exits = tuple(Exit(ago_, 1.0, SIGKILL) for ago_ in seconds_ago)
        return stuck(targets=[rescuer(running=False, exits=exits)])

    assert rescues(crashed(4)) == ()
    assert len(rescues(crashed(6))) == 1
    assert rescues(crashed(30, 20, 15)) == ()
    assert len(rescues(crashed(50, 40, 21))) == 1
    assert len(rescues(crashed(4000, 3700))) == 1


# ---------------------------------------------------------------- the limits


def test_pause_budget_and_dry_run_hold_it_too() -> None:
    by = allowed()
    actions = rescues(stuck())
    paused = stuck(past=control(pause=Pause(ago(5), None, "ada")))
    spent = stuck(past=control(spent={(ActionKind.RESCUE, "default"): 10}))
    rehearsal = replace(by, remediation=replace(by.remediation, mode="dry-run"))
    assert [r.outcome for r in rule(actions, stuck(), by)] == [None]
    assert [r.outcome for r in rule(actions, paused, by)] == [Outcome.SUPPRESSED]
    assert [r.outcome for r in rule(actions, spent, by)] == [Outcome.SUPPRESSED]
    assert [r.outcome for r in rule(actions, stuck(), rehearsal)] == [Outcome.DRY_RUN]


def test_no_job_is_failed_for_waiting_while_its_rescue_begins() -> None:
    by = allowed()

    def expiry(of: Snapshot) -> str:
        actions = (*decided(of, by), *decide_rescues(of, diagnosed(of, by), by))
        return next(r.why for r in rule(actions, of, by) if r.action.kind is ActionKind.EXPIRE)

    late = [waiting(400)]
    assert expiry(world(late)) == "held while a rescue worker is being started"
    assert expiry(world(late, targets=[rescuer(running_seconds=5.0)])) == "held while a rescue worker is being started"
    assert expiry(world(late, targets=[rescuer(running_seconds=60.0)])) == ""
    assert expiry(world(late, past=control(spent={(ActionKind.RESCUE, "default"): 10}))) == ""
    both = world(late, past=control(restart(3)))
    assert expiry(both) == "held while place-1 is being restarted"


# ---------------------------------------------------------------- the end


def relief(**changes: object) -> dict[str, str]:
    of = stuck(**changes)
    return dict(relieved(of, diagnosed(of)))


def test_a_real_worker_ends_it_and_a_rescue_worker_does_not() -> None:
    assert relief(targets=[rescuer()], workers=[worker(queues=(RESCUER,))]) == {}
    back = relief(targets=[rescuer()], workers=[worker(queues=(RESCUER,)), worker("s2", name="real")])
    assert list(back) == ["default"]
    assert back["default"].startswith("real is back: beat")
    assert ended("default", back["default"]).message.endswith("; the rescue worker drains")


def test_who_is_not_rescued_or_not_read_is_not_relieved() -> None:
    real = [worker()]
    assert relief(workers=real) == {}
    assert relief(workers=real, targets=[rescuer(running=False)]) == {}
    assert relief(workers=real, targets=[target()]) == {}
    assert relief(workers=real, targets=UNREAD) == {}
    assert relief(workers=UNREAD, targets=[rescuer()]) == {}
    assert relief(targets=[rescuer()], workers=[worker(silent=60)]) == {}


# ---------------------------------------------------------------- what is found meanwhile


def test_the_finding_stays_with_the_rescue_in_its_evidence() -> None:
    of = stuck(workers=[worker(queues=(RESCUER,), name="rescue-host-1")], targets=[rescuer()])
    assert Code.WORKER_NEVER_SEEN in found(of)
    never = finding(Code.WORKER_NEVER_SEEN, of)
    assert any("a rescue worker runs its jobs meanwhile: rescue-host-1" in line for line in never.evidence)
    silent = stuck(workers=[worker(queues=(RESCUER,), silent=60)])
    assert not any("meanwhile" in line for line in finding(Code.WORKER_NEVER_SEEN, silent).evidence)
    assert Code.WORKERS_SATURATED not in found(of)


def test_a_rescue_workers_job_is_taken_back_by_its_own_timeout() -> None:
    by = allowed(timeouts=replace(Settings().timeouts, heartbeat=5.0))
    [verdict] = diagnosed(world([], workers=[worker(silent=8, queues=(RESCUER,))]), by).verdicts
    assert "limit 5 s" in verdict.evidence
    assert running(10).session_id == session("s1").id


def test_its_end_for_lack_of_memory_is_told_of_the_right_queue() -> None:
    of = stuck(targets=[rescuer(running=False, exits=(Exit(5.0, 600.0, OOM),))])
    assert finding(Code.WORKER_OOM_KILLED, of).queue == "default"
