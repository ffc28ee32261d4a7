"""PURE. Which places of a platform need a new process, on what evidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from gradewatch.config import Settings
from gradewatch.history import given_up, in_flight
from gradewatch.model import (
    Action,
    ActionKind,
    Code,
    ControlFacts,
    Diagnosis,
    ExitCause,
    ExitKind,
    Known,
    Session,
    Severity,
    Sight,
    Snapshot,
    Target,
    Unknown,
    WorkerReading,
    life_of,
)
from gradewatch.verdicts import HeartbeatTimeouts

NOBODY = (Code.WORKER_NEVER_SEEN, Code.WORKER_NOT_RUNNING)  # of a queue: no live worker serves it
OWN_ENDS = ("drained", "stopped")  # how the end of a session begins that its worker ended itself
CLOCKS = 5.0  # seconds by which the ages of a process and of its session may differ: two clocks, two moments
HUNG = 2.0  # heartbeat timeouts of silence after which a process that is still there counts as hung


def restarts(snapshot: Snapshot, diagnosis: Diagnosis, control: ControlFacts, settings: Settings) -> Iterator[Action]:
    if not isinstance(snapshot.platform, Known):
        return
    targets = snapshot.platform.value
    due: list[tuple[Target, Code, str]] = []
    for target in targets:
        if not (target.wanted or target.whole) or given_up(target.subject, control):
            continue
        why = (
            _why_whole(target, snapshot, diagnosis)
            if target.whole
            else _why_restart(target, snapshot, diagnosis, settings)
        )
        if why and (not target.running or in_flight(target.subject, control) is None):
            due.append((target, *why))
    for target, reason, message in _one_a_group(due, targets):
        queue = target.queues[0] if target.queues else ""
        yield Action(ActionKind.RESTART, queue, reason, message, target=target.subject, incarnation=target.incarnation)


def _one_a_group(
    due: Sequence[tuple[Target, Code, str]], targets: Sequence[Target]
) -> Iterator[tuple[Target, Code, str]]:
    """Of a group one member at a time, for the others go on working meanwhile, and first one that may be restarted; or
    the whole of it, where the fault is in every member that runs. Targets without a group are nobody's members."""
    running = Counter(t.group for t in targets if t.running and t.wanted and not t.whole)
    faulty = Counter(t.group for t, _, _ in due if t.running and not t.whole)
    wholes = {t.name: t for t in targets if t.whole and t.running}
    taken: set[tuple[str, bool]] = set()
    for target, reason, message in sorted(due, key=lambda one: bool(one[0].no_restart)):
        if not target.group:
            yield target, reason, message
        elif (target.group, target.running) not in taken:
            taken.add((target.group, target.running))
            count = faulty[target.group]
            if target.running and count == running[target.group] > 1 and target.group in wholes:
                yield wholes[target.group], reason, f"all {count} workers of {target.group}: {message}"
            else:
                yield target, reason, message


def _why_whole(target: Target, snapshot: Snapshot, diagnosis: Diagnosis) -> tuple[Code, str] | None:
    """A group without any member is a fault only while work waits for one."""
    waiting = [n for n in target.queues if isinstance(q := snapshot.queues.get(n), Known) and q.value.stats.pending]
    if target.running or not waiting or isinstance(snapshot.workers, Unknown):
        return None
    codes = {f.code for f in diagnosis.findings if f.queue in waiting}
    for code in (Code.WORKER_NEVER_SEEN, Code.WORKER_NOT_RUNNING):
        if code in codes:
            return code, f"{target.name}: {target.problem or 'no worker of it is wanted'}, and work waits"
    return None


def _why_restart(
    target: Target, snapshot: Snapshot, diagnosis: Diagnosis, settings: Settings
) -> tuple[Code, str] | None:
    """The evidence that this place needs a new process, or None. Silence alone is never enough within start_grace."""
    if not target.running:
        return _death(target.last_exit), f"{target.name} {target.last_exit or target.problem or 'is not running'}"
    if target.running_seconds < settings.remediation.start_grace or isinstance(snapshot.workers, Unknown):
        return None
    lives = [w for w in snapshot.workers.value if _fills(w, target, snapshot)]
    if not lives:
        return _never_opened(target, diagnosis, settings)
    newest = max(lives, key=lambda w: w.session.started_at)
    silent = min(_silent(w, snapshot) for w in (lives if target.sight is Sight.NONE else [newest]))
    if silent > HUNG * HeartbeatTimeouts(settings)[newest.session]:
        return Code.WORKER_NOT_RUNNING, f"{target.name} {_hangs(target)}, but it has not beaten for {silent:.0f} s"
    if any(f.code is Code.WORKER_WEDGED and f.subject == newest.session.name for f in diagnosis.findings):
        return Code.WORKER_WEDGED, f"{target.name} is alive and idle while work waits"
    return None


def _silent(worker: WorkerReading, snapshot: Snapshot) -> float:
    return worker.store_silent_seconds if snapshot.single else worker.silent_seconds


def _hangs(target: Target) -> str:
    if target.sight is Sight.NONE:
        return "cannot be looked into by its platform"
    return "hangs: its process is there"


def _fills(worker: WorkerReading, target: Target, snapshot: Snapshot) -> bool:
    """Does this session belong to the present life of that place? Where sessions do not carry the life's name, they
    carry the place's; one older than the process belongs to an earlier life, and one that its worker closed itself
    says nothing where nobody sees the process: it may have been stopped on purpose."""
    session = worker.session
    if target.sight is Sight.LIFE and target.incarnation:
        return target.incarnation in (session.incarnation, life_of(session.incarnation))
    if session.target != target.name:
        return False
    if target.sight is Sight.PROCESS and isinstance(snapshot.store, Known):
        return (snapshot.store.value.now - session.started_at).total_seconds() <= target.running_seconds + CLOCKS
    return target.sight is not Sight.NONE or not _left_by_itself(session)


def _left_by_itself(session: Session) -> bool:
    return session.ended_at is not None and session.end_reason.startswith(OWN_ENDS)


def _never_opened(target: Target, diagnosis: Diagnosis, settings: Settings) -> tuple[Code, str] | None:
    """Nobody came: the process has had its time. Where its platform cannot see one, a worker that does not say which
    place it fills may be there all the same: so then nobody at all may serve a queue in which work waits."""
    limits = settings.remediation
    served = [settings.queues[name] for name in target.queues or settings.queues if name in settings.queues]
    if any(queue.foreign for queue in served):
        return None  # another application's worker: it is not known to open any
    if target.running_seconds <= limits.verify + limits.start_grace:
        return None
    if target.sight is not Sight.NONE:
        words = f"has run for {target.running_seconds:.0f} s without opening a session"
        return Code.WORKER_NOT_RUNNING, f"{target.name} {words}"
    for finding in diagnosis.findings:
        deserted = finding.code in NOBODY and finding.severity is Severity.CRITICAL
        if deserted and finding.subject in target.queues:
            return finding.code, f"{target.name} should work on {finding.subject}, where work waits and no worker is"
    return None


def _death(cause: ExitCause | None) -> Code:
    kinds = {ExitKind.OOM_KILLED: Code.WORKER_OOM_KILLED, ExitKind.CRASH_LOOP: Code.WORKER_CRASH_LOOP}
    return kinds.get(cause.kind, Code.WORKER_NOT_RUNNING) if cause else Code.WORKER_NOT_RUNNING
