"""PURE. When the watch should run a worker itself, because nobody claims and no real worker lives; and when it should
stop, because one is back.

A rescue worker's session says `rescue:QUEUE`, so that everything else here goes on counting the real ones alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gradewatch.config import QueueSettings, RemediationSettings, Settings
from gradewatch.history import credited_age
from gradewatch.model import (
    Action,
    ActionKind,
    Code,
    ControlFacts,
    Diagnosis,
    Known,
    QueueFacts,
    Snapshot,
    Target,
    Verdict,
    WorkerVerdict,
    rescued,
    rescues,
)

KINDS = frozenset({"grade"})  # of jobs that our own worker can run
LIVE = (Verdict.ALIVE, Verdict.STARVED)
PERHAPS = (*LIVE, Verdict.UNKNOWN)  # Unknown blocks
HOUR = 3600.0


def decide_rescues(snapshot: Snapshot, diagnosis: Diagnosis, settings: Settings) -> tuple[Action, ...]:
    """One action for each queue that a rescue worker should begin to work. A single cycle has nobody to run one."""
    if not settings.watch.rescue or snapshot.observe_only or snapshot.single or diagnosis.has(Code.MONITOR_SUSPECT):
        return ()
    if not (isinstance(snapshot.control, Known) and isinstance(snapshot.platform, Known)):
        return ()
    if not (isinstance(snapshot.store, Known) and isinstance(snapshot.workers, Known)):
        return ()
    targets, control, ever = snapshot.platform.value, snapshot.control.value, snapshot.store.value.session_ever
    if any(_cooling(target, settings.remediation) for target in targets if rescues(target.queues)):
        return ()
    return tuple(
        _action(name, reading.value, control, ever)
        for name, reading in snapshot.queues.items()
        if isinstance(reading, Known)
        and settings.queues[name].foreign is None  # another application's jobs are not ours to work on
        and _stuck(settings.queues[name], reading.value, control, settings.watch.rescue_after)
        and not _somebody(name, diagnosis.verdicts, targets)
    )


def relieved(snapshot: Snapshot, diagnosis: Diagnosis) -> Mapping[str, str]:
    """The queues that our rescue worker should leave, each with the reason: a real worker of it lives."""
    if not (isinstance(snapshot.platform, Known) and isinstance(snapshot.workers, Known)):
        return {}
    ours = {q for target in snapshot.platform.value if target.running for q in rescues(target.queues)}
    back = {
        queue: f"{v.session.name} is back: {v.evidence}"
        for v in diagnosis.verdicts
        if v.verdict in LIVE
        for queue in v.session.queues
    }
    return {queue: back[queue] for queue in sorted(ours & back.keys())}


def _stuck(queue: QueueSettings, facts: QueueFacts, control: ControlFacts, after: float) -> bool:
    """Jobs that we know how to run have waited for so long, and so long nobody has claimed anything."""
    ours = not queue.paused and queue.foreign is None and not KINDS.isdisjoint(queue.kinds)
    if not ours or facts.unclaimed_since is None:
        return False
    last = facts.stats.last_started_at
    since = (facts.unclaimed_since, *([last] if last else []))
    return all(credited_age(at, facts.stats.now, control.credits) > after for at in since)


def _somebody(queue: str, verdicts: Sequence[WorkerVerdict], targets: Sequence[Target]) -> bool:
    """Does anybody work this queue, or is about to: a real worker, a rescue worker of any watch, a process of ours that
    has only just been started?"""
    served = {queue, *rescued([queue])}
    lives = any(v.verdict in PERHAPS and served & set(v.session.queues) for v in verdicts)
    return lives or any(target.running and served & set(target.queues) for target in targets)


def _cooling(target: Target, limits: RemediationSettings) -> bool:
    """A rescue worker that crashes is started again later each time."""
    recent = [end for end in target.exits if end.seconds_ago < HOUR and not end.cause.clean]
    if not recent:
        return False
    return recent[-1].seconds_ago < min(limits.cooldown_max, limits.cooldown * 2.0 ** (len(recent) - 1))


def _action(queue: str, facts: QueueFacts, control: ControlFacts, ever: Mapping[str, bool]) -> Action:
    since = facts.unclaimed_since or facts.stats.now
    waited = credited_age(since, facts.stats.now, control.credits)
    reason = Code.WORKER_NOT_RUNNING if ever.get(queue) else Code.WORKER_NEVER_SEEN
    words = f"{facts.stats.pending} pending, nobody has claimed for {waited:.0f} s, and no worker lives: we run one"
    return Action(ActionKind.RESCUE, queue, reason, words, target=rescued([queue])[0])


def ended(queue: str, why: str) -> Action:
    """What the audit trail says when a rescue ends."""
    words = f"{why}; the rescue worker drains"
    return Action(ActionKind.RESCUE, queue, Code.WORKER_NOT_RUNNING, words, target=rescued([queue])[0])
