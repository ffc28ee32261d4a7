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
    Snapshot,
    Target,
    Unknown,
    WorkerVerdict,
)
from gradewatch.verdicts import HeartbeatTimeouts, absent

CAUSES = (  # which finding explains a job's wait to the person who reads its error, in this order
    Code.WORKER_NEVER_SEEN,
    Code.WORKER_NOT_RUNNING,
    Code.WORKER_WEDGED,
    Code.WORKERS_SATURATED,
)
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
    wedged = {f.subject for f in diagnosis.findings if f.code is Code.WORKER_WEDGED}
    for target in snapshot.platform.value:
        if not target.wanted or given_up(target.name, control):
            continue
        why = _why_restart(target, snapshot, wedged, settings)
        if why and (not target.running or in_flight(target.name, control) is None):
            reason, message = why
            queue = target.queues[0] if target.queues else ""
            yield Action(ActionKind.RESTART, queue, reason, message, target=target.name, incarnation=target.incarnation)


def _why_restart(target: Target, snapshot: Snapshot, wedged: set[str], settings: Settings) -> tuple[Code, str] | None:
    """The evidence that this place needs a new process, or None. Silence alone is never enough within start_grace."""
    if not target.running:
        return _death(target.last_exit), f"{target.name} {target.last_exit or 'is not running'}"
    if target.running_seconds < settings.remediation.start_grace or isinstance(snapshot.workers, Unknown):
        return None
    lives = [w for w in snapshot.workers.value if _fills(w.session, target)]
    if not lives:
        return _never_opened(target, settings)
    newest = max(lives, key=lambda w: w.session.started_at)
    silent = newest.store_silent_seconds if snapshot.single else newest.silent_seconds
    if silent > HUNG * HeartbeatTimeouts(settings)[newest.session]:
        return Code.WORKER_NOT_RUNNING, (
            f"{target.name} hangs: its process is there, but it has not beaten for {silent:.0f} s"
        )
    if newest.session.name in wedged:
        return Code.WORKER_WEDGED, f"{target.name} is alive and idle while work waits"
    return None


def _fills(session: Session, target: Target) -> bool:
    """Does this session belong to the present life of that place? A platform without incarnations knows names only."""
    if target.incarnation:
        return session.incarnation == target.incarnation
    return session.target == target.name


def _never_opened(target: Target, settings: Settings) -> tuple[Code, str] | None:
    limits = settings.remediation
    served = [settings.queues[name] for name in target.queues or settings.queues if name in settings.queues]
    if any(queue.foreign for queue in served):
        return None  # another application's worker: it is not known to open any
    if target.running_seconds <= limits.verify + limits.start_grace:
        return None
    return (
        Code.WORKER_NOT_RUNNING,
        f"{target.name} has run for {target.running_seconds:.0f} s without opening a session",
    )


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
    if queue.on_lost == "keep":
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
