"""Findings, the actions decided on, what came of them, and the report of a cycle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from gradewatch.model.codes import ActionKind, Code, Outcome
from gradewatch.model.jobs import JobError, JobRef
from gradewatch.model.readings import Snapshot
from gradewatch.model.workers import WorkerVerdict


class Severity(StrEnum):
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Finding:
    """One diagnosed cause. `subject` is the queue, worker, variable or store it concerns; (code, subject) is its
    identity from one cycle to the next."""

    code: Code
    severity: Severity
    subject: str
    summary: str
    evidence: tuple[str, ...]
    fix: str
    command: str = ""
    queue: str | None = None

    @property
    def runbook(self) -> str:
        return f"docs/runbooks/{self.code.value}.md"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    verdicts: tuple[WorkerVerdict, ...] = ()
    findings: tuple[Finding, ...] = ()

    def has(self, code: Code) -> bool:
        return any(f.code is code for f in self.findings)


@dataclass(frozen=True, slots=True)
class Action:
    """One repair that was decided on. `job` is set for expire, requeue and fail; `target` for restart."""

    kind: ActionKind
    queue: str
    reason: Code
    message: str
    job: JobRef | None = None
    target: str | None = None
    incarnation: str = ""  # of the target, as read: a restart of another incarnation is a noop
    error: JobError | None = None  # what to write on the job
    run_alone: bool = False

    @property
    def subject(self) -> str:
        return self.job.id if self.job else (self.target or "")


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the limits said of an action: taken, or held and why."""

    action: Action
    outcome: Outcome | None  # None: go ahead; SUPPRESSED or DRY_RUN otherwise
    why: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of an action."""

    action: Action
    outcome: Outcome
    detail: str = ""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line of the audit trail. `before` is the row before the change; `verified` concerns restarts alone."""

    id: int
    sweep: str
    at: datetime
    by: str
    action: str
    queue: str
    subject: str
    outcome: Outcome
    reason: str
    message: str
    before: Mapping[str, Any] | None = None
    verified: bool | None = None
    undone_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RowNote:
    """What a repair of another application's row is about to do: the fields it touches, before and after, as JSON can
    hold them. Kept with the audit entry, for undo and to notice a late write."""

    action: str
    queue: str
    subject: str
    reason: str
    message: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    outcome: Outcome = Outcome.APPLIED


@dataclass(frozen=True, slots=True)
class NotedRepair:
    """A `RowNote` as it was kept, with the audit entry it belongs to."""

    id: int
    sweep: str
    at: datetime
    note: RowNote
    undone_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class LeaseGrant:
    """A lease held: its term rises by one with each change of holder; `ttl` is in seconds."""

    name: str
    holder: str
    term: int
    ttl: float


@dataclass(frozen=True, slots=True)
class CycleReport:
    """What one cycle saw, concluded and did: what metrics, the API and the status page are made of."""

    number: int
    sweep: str
    snapshot: Snapshot
    diagnosis: Diagnosis
    results: tuple[Result, ...]
    leader: bool
    seconds: float
    wall: datetime  # this machine's clock at the end of the cycle, for people
    budget_remaining: Mapping[str, float] = field(default_factory=dict)  # by action, the smallest over queues
    more: bool = False  # a bounded list was cut and all of it repaired: go again at once
    next_wake: float | None = None  # seconds until something becomes due before the next regular cycle
    probe_seconds: Mapping[str, float] = field(default_factory=dict)
