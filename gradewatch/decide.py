"""PURE. From a snapshot and its diagnosis to the repairs that would help. Whether they may be taken, `limits` says.

Unknown blocks: an action that rests on an Unknown reading is not decided on. So do a first cycle after a start or an
outage, and the fleet gate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from gradewatch.config import QueueSettings, Settings
from gradewatch.history import given_up, in_flight, late_by
from gradewatch.model import (
    Action,
    ActionKind,
    Code,
    ControlFacts,
    Diagnosis,
    ExitCause,
    ExitKind,
    JobError,
    JobRef,
    Known,
    QueueFacts,
    Session,
    Severity,
    Sight,
    Snapshot,
    Target,
    Unknown,
    WorkerReading,
    WorkerVerdict,
    life_of,
)
from gradewatch.verdicts import HeartbeatTimeouts, absent

CAUSES = (  # which finding explains a job's wait to the person who reads its error, in this order
    Code.WORKER_NEVER_SEEN,
    Code.WORKER_NOT_RUNNING,
    Code.WORKER_WEDGED,
    Code.WORKERS_SATURATED,
)
NOBODY = (Code.WORKER_NEVER_SEEN, Code.WORKER_NOT_RUNNING)  # of a queue: no live worker serves it
OWN_ENDS = ("drained", "stopped")  # how the end of a session begins that its worker ended itself
CLOCKS = 5.0  # seconds by which the ages of a process and of its session may differ: two clocks, two moments
OUTLIVED = 15.0  # seconds by which a job must be older than every process, for a start takes time to be seen
HUNG = 2.0  # heartbeat timeouts of silence after which a process that is still there counts as hung


def decide(snapshot: Snapshot, diagnosis: Diagnosis, settings: Settings) -> tuple[Action, ...]:
    """Restarts first, then jobs taken back, then jobs failed for being late."""
    if snapshot.observe_only or isinstance(snapshot.store, Unknown) or diagnosis.has(Code.MONITOR_SUSPECT):
        return ()
    if not isinstance(snapshot.control, Known):
        return ()
    control = snapshot.control.value
    actions = list(_restarts(snapshot, diagnosis, control, settings))
    lost = _lost_jobs(snapshot, diagnosis)
    outlived = _outlived(snapshot)
    together = Counter(job.session_id for jobs in lost.values() for job in jobs)
    for name, reading in snapshot.queues.items():
        if isinstance(reading, Known):
            queue = settings.queues[name]
            late = tuple(_expiries(queue, reading.value, diagnosis, control))
            expired = {a.subject for a in late}
            held = [job for job in lost.get(name, ()) if job.id not in expired]
            actions += _recoveries(queue, held, diagnosis, together)
            known = expired | {job.id for job in held}
            left = [(job, words) for job, words in outlived.get(name, ()) if job.id not in known]
            actions += [_recover(queue, job, words, alone=False) for job, words in left if queue.on_lost != "keep"]
            actions += late
    return tuple(actions)


# ---------------------------------------------------------------- restart


def _restarts(snapshot: Snapshot, diagnosis: Diagnosis, control: ControlFacts, settings: Settings) -> Iterator[Action]:
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
    place it fills may be there all the same, and a worker of another application need not open a session; so then
    nobody at all may serve a queue in which work waits."""
    limits = settings.remediation
    served = [settings.queues[name] for name in target.queues or settings.queues if name in settings.queues]
    if any(queue.foreign for queue in served):
        return None  # another application's worker: it is not known to open any
    if target.running_seconds <= limits.verify + limits.start_grace:
        return None
    if target.sight is not Sight.NONE and any(_ours(queue, settings) for queue in target.queues):
        words = f"has run for {target.running_seconds:.0f} s without opening a session"
        return Code.WORKER_NOT_RUNNING, f"{target.name} {words}"
    for finding in diagnosis.findings:
        deserted = finding.code in NOBODY and finding.severity is Severity.CRITICAL
        if deserted and finding.subject in target.queues:
            return finding.code, f"{target.name} should work on {finding.subject}, where work waits and no worker is"
    return None


def _ours(queue: str, settings: Settings) -> bool:
    """Do workers of this queue open sessions? Those of another application's need not."""
    return queue not in settings.queues or settings.queues[queue].foreign is None


def _death(cause: ExitCause | None) -> Code:
    kinds = {ExitKind.OOM_KILLED: Code.WORKER_OOM_KILLED, ExitKind.CRASH_LOOP: Code.WORKER_CRASH_LOOP}
    return kinds.get(cause.kind, Code.WORKER_NOT_RUNNING) if cause else Code.WORKER_NOT_RUNNING


# ---------------------------------------------------------------- jobs of lost workers


def _lost_jobs(snapshot: Snapshot, diagnosis: Diagnosis) -> Mapping[str, Sequence[JobRef]]:
    """By queue, what lost workers hold. Rests on the workers' reading: Unknown blocks it."""
    if isinstance(snapshot.workers, Unknown):
        return {}
    gone, judged = absent(diagnosis.verdicts), {v.session.id for v in diagnosis.verdicts}
    return {
        name: [j for j in reading.value.held_by_absent if j.session_id in gone or j.session_id not in judged]
        for name, reading in snapshot.queues.items()
        if isinstance(reading, Known)
    }


def _outlived(snapshot: Snapshot) -> Mapping[str, Sequence[tuple[JobRef, str]]]:
    """By queue, running jobs of another application that were started before every process that could be running them:
    the platform proves that theirs has ended. Both are ages, each by its own clock; no two clocks are compared."""
    if not isinstance(snapshot.platform, Known):
        return {}
    found: dict[str, list[tuple[JobRef, str]]] = {}
    for name, reading in snapshot.queues.items():
        serving = [t for t in snapshot.platform.value if name in t.queues]
        if isinstance(reading, Unknown) or reading.value.foreign is None or not serving:
            continue
        if any(t.sight is Sight.NONE for t in serving):
            continue  # how old its process is, nobody sees
        oldest = max((t.running_seconds for t in serving if t.running), default=0.0)
        words = f"no process that serves {name} is older than {oldest:.0f} s: the one that ran it has ended"
        found[name] = [
            (job, f"it has run for {ran:.0f} s, and {words}")
            for job in reading.value.foreign.unattributed
            if job.started_at is not None
            and (ran := (reading.value.stats.now - job.started_at).total_seconds()) > oldest + OUTLIVED
        ]
    return found


def _recoveries(
    queue: QueueSettings, held: Sequence[JobRef], diagnosis: Diagnosis, together: Mapping[str | None, int]
) -> Iterator[Action]:
    """`together`: how many jobs, of all queues, each lost session held: one of several may have killed it."""
    if queue.on_lost == "keep" or not held:
        return
    workers = {v.session.id: v for v in diagnosis.verdicts}
    for job in held:
        words = _lost_words(job, workers.get(job.session_id or ""))
        yield _recover(queue, job, words, alone=together[job.session_id] > 1)


def _lost_words(job: JobRef, worker: WorkerVerdict | None) -> str:
    if worker is None:
        return f"the session that held it ({job.session_id}) has ended"
    return f"{worker.session.name}, which held it, is {worker.verdict.value}: {worker.evidence}"


def _recover(queue: QueueSettings, job: JobRef, words: str, *, alone: bool) -> Action:
    deaths = job.lost + 1
    if deaths >= job.max_attempts:
        text = (
            f"It was running when its worker died, {deaths} times, and is kept from killing another. Last: {words}. "
            "Look at its papers, then requeue it by hand."
        )
        return _job_action(ActionKind.FAIL, job, Code.JOB_POISON, words, JobError("job_poison", text))
    if job.attempt >= job.max_attempts:
        text = f"Its last attempt ({job.attempt} of {job.max_attempts}) was lost with its worker: {words}."
        return _job_action(ActionKind.FAIL, job, Code.WORKER_NOT_RUNNING, words, JobError("attempts_exhausted", text))
    if queue.on_lost == "fail":
        text = f"Its worker was lost ({words}), and this queue fails such jobs (on_lost = fail)."
        return _job_action(ActionKind.FAIL, job, Code.WORKER_NOT_RUNNING, words, JobError("worker_lost", text))
    return Action(ActionKind.REQUEUE, job.queue, Code.WORKER_NOT_RUNNING, words, job=job, run_alone=alone)


def _job_action(kind: ActionKind, job: JobRef, reason: Code, message: str, error: JobError) -> Action:
    return Action(kind, job.queue, reason, message, job=job, error=error)


# ---------------------------------------------------------------- late jobs


def _expiries(queue: QueueSettings, facts: QueueFacts, diagnosis: Diagnosis, control: ControlFacts) -> Iterator[Action]:
    now, limits = facts.stats.now, queue.timeouts
    if queue.on_schedule_to_start == "fail" and not queue.paused:
        cause = _cause(queue.name, diagnosis)
        for job in facts.overdue_pending:
            late = late_by(job, now, limits, control.credits)
            if late > 0:
                yield _expire(job, "schedule_to_start", "waited for a worker", limits.schedule_to_start, late, cause)
    if queue.on_start_to_close == "fail":
        for job in facts.overdue_running:
            late = late_by(job, now, limits, control.credits)
            if late > 0:
                yield _expire(job, "start_to_close", "ran", limits.start_to_close, late)


def _expire(job: JobRef, code: str, did: str, limit: float, late: float, cause: str = "") -> Action:
    words = f"{did} for {_span(limit + late)}, {_span(limit)} allowed{cause}"
    return _job_action(ActionKind.EXPIRE, job, Code.JOB_TIMED_OUT, words, JobError(code, f"It {words}."))


def _cause(queue: str, diagnosis: Diagnosis) -> str:
    gravest_last = reversed(diagnosis.findings)
    causes: Mapping[Code, str] = {f.code: f.summary for f in gravest_last if f.queue == queue}
    return next((f"; cause: {causes[c]} ({c.value})" for c in CAUSES if c in causes), "")


def _span(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"
