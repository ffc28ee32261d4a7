"""The words the pure core's tests are written in: jobs that wait, workers that fall silent, targets that die.

A `world` is a snapshot of one queue, `default`; whatever is not said of it is in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from builders import NOW, ago, empty_stats, job_ref, session

from gradewatch.config import QueueSettings, RemediationSettings, Settings
from gradewatch.decide import decide
from gradewatch.diagnose import diagnose
from gradewatch.limits import rule
from gradewatch.model import (
    Action,
    Code,
    ControlFacts,
    CredentialFacts,
    Diagnosis,
    Exit,
    ExitCause,
    ExitKind,
    Finding,
    JobRef,
    JobState,
    Known,
    Outcome,
    QueueFacts,
    RestartRecord,
    Ruling,
    Snapshot,
    StoreFacts,
    Target,
    Unknown,
    WorkerReading,
)

DEFAULTS = Settings()
SIGKILL = ExitCause(ExitKind.SIGNALLED, 9, "SIGKILL")
OOM = ExitCause(ExitKind.OOM_KILLED)
UNREAD = Unknown("the probe failed", 1000.0)


def settings(*, queues: Sequence[str] = ("default",), remediation: Mapping[str, Any] | None = None, **queue: Any):
    """The defaults, with some settings of every queue and of the repairs changed."""
    return Settings(
        queues={name: QueueSettings(name, **queue) for name in queues},
        remediation=replace(RemediationSettings(), **(remediation or {})),
    )


def waiting(seconds: float, id: str = "job-1", **changes: Any) -> JobRef:
    """A job that has been eligible for that long."""
    return job_ref(id, run_at=ago(seconds), **changes)


def running(seconds: float, id: str = "job-1", *, by: str | None = "s1", **changes: Any) -> JobRef:
    """A job on its first attempt, in the hands of session `by` for that long."""
    claimed = {"state": JobState.RUNNING, "session_id": by, "token": 1, "attempt": 1, "started_at": ago(seconds)}
    return job_ref(id, run_at=ago(seconds + 1), **(claimed | changes))


def facts(jobs: Iterable[JobRef] = (), *, held: Iterable[JobRef] = (), stats: Mapping[str, Any] | None = None, **more):
    """What the queue probe makes of these jobs by the default timeouts. `held`: running ones whose worker is absent."""
    pending = sorted((j for j in jobs if j.state is JobState.PENDING), key=lambda j: j.run_at)
    held = tuple(held)
    claimed = [j for j in (*jobs, *held) if j.started_at]
    oldest = pending[0].run_at if pending else None
    counted = {
        "pending": len(pending),
        "running": len(claimed),
        "oldest_pending_at": oldest,
        "oldest_running_at": min((j.started_at for j in claimed), default=None),
    }
    seen = QueueFacts(
        replace(empty_stats(), **(counted | dict(stats or {}))),
        overdue_pending=tuple(j for j in pending if j.run_at < ago(300)),
        overdue_running=tuple(j for j in claimed if j.started_at < ago(1800)),
        held_by_absent=held,
        unclaimed_since=oldest,
    )
    return replace(seen, **more)


def worker(
    id: str = "s1",
    *,
    silent: float = 1.0,
    store_silent: float | None = None,
    seen_beating: bool = True,
    **changes: Any,
) -> WorkerReading:
    """A worker that this watch has seen beat, silent for so many seconds by both ways of counting."""
    store_silent = silent if store_silent is None else store_silent
    return WorkerReading(session(id, **changes), silent, 600.0, store_silent, seen_beating)


def target(name: str = "place-1", *, life: str = "life-1", **changes: Any) -> Target:
    """A place on the platform whose present process has been up for ten minutes."""
    plain = Target(name, ("default",), pid=4711, running=True, running_seconds=600.0, incarnation=life)
    return replace(plain, **changes)


def dead_target(name: str = "place-1", *, life: str = "life-1", how: ExitCause = SIGKILL, **changes: Any) -> Target:
    """A place whose process was seen to end."""
    plain = target(name, life="", pid=None, running=False, running_seconds=0.0)
    return replace(plain, last_exit=how, exits=(Exit(1.0, 600.0, how),), ended_incarnations=(life,), **changes)


def restart(
    seconds_ago: float, verified: bool | None = None, *, of: str = "place-1", outcome: Outcome = Outcome.APPLIED
) -> RestartRecord:
    """A restart in the audit trail. verified: None while its verify window is open."""
    return RestartRecord(1, of, "default", ago(seconds_ago), outcome, verified)


def control(*restarts: RestartRecord, **changes: Any) -> ControlFacts:
    return replace(ControlFacts(NOW, restarts=restarts), **changes)


def credential(problem: Code | None, variable: str = "GROQ_API_KEY") -> CredentialFacts:
    return CredentialFacts(variable, "groq", problem, f"{variable} is not set" if problem else "")


def read(value: Any) -> Any:
    """A reading: Known, unless it is Unknown already."""
    return value if isinstance(value, Unknown) else Known(value, 1000.0)


def world(
    jobs: Iterable[JobRef] = (),
    *,
    held: Iterable[JobRef] = (),
    workers: Iterable[WorkerReading] | Unknown = (),
    targets: Iterable[Target] | Unknown = (),
    queue: QueueFacts | Unknown | None = None,
    past: ControlFacts | Unknown | None = None,
    ever_seen: bool = True,
    **changes: Any,
) -> Snapshot:
    """A snapshot in which every probe answered, but for those given as Unknown; `changes` replace other fields."""
    plain = Snapshot(
        mono=1000.0,
        store=read(StoreFacts("sqlite", NOW, 0.0, session_ever={"default": ever_seen})),
        workers=workers if isinstance(workers, Unknown) else read(tuple(workers)),
        queues={"default": read(queue or facts(tuple(jobs), held=held))},
        platform=targets if isinstance(targets, Unknown) else read(tuple(targets)),
        environment=read(()),
        control=read(past or control()),
    )
    return replace(plain, **changes)


def diagnosed(of: Snapshot, by: Settings = DEFAULTS) -> Diagnosis:
    return diagnose(of, by)


def found(of: Snapshot, by: Settings = DEFAULTS) -> list[Code]:
    """The codes of all findings, the gravest first."""
    return [f.code for f in diagnose(of, by).findings]


def finding(code: Code, of: Snapshot, by: Settings = DEFAULTS, *, subject: str | None = None) -> Finding:
    """The one finding with this code, and on this subject where several may have it."""
    [one] = [f for f in diagnose(of, by).findings if f.code is code and subject in (None, f.subject)]
    return one


def decided(of: Snapshot, by: Settings = DEFAULTS) -> tuple[Action, ...]:
    return decide(of, diagnose(of, by), by)


def ruled(of: Snapshot, by: Settings = DEFAULTS) -> tuple[Ruling, ...]:
    return rule(decided(of, by), of, by)


def in_short(actions: Iterable[Action]) -> list[tuple[str, str, Code]]:
    """(kind, subject, reason) of each action."""
    return [(a.kind.value, a.subject, a.reason) for a in actions]
