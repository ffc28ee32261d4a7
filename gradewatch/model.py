"""Frozen value types and enums; nothing else. The words are those of docs/architecture.md.

Times are timezone-aware UTC datetimes by the *store's* clock, unless a name says `mono`
(seconds of this process's monotonic clock) or `seconds` (a duration).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class JobState(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def finished(self) -> bool:
        return self in FINISHED


FINISHED = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})


class Verdict(StrEnum):
    """What is believed of one worker. Only DEAD is proved (DESIGN rule 4)."""

    ALIVE = "alive"
    STARVED = "starved"
    SUSPECT = "suspect"
    DEAD = "dead"
    UNKNOWN = "unknown"


class ActionKind(StrEnum):
    EXPIRE = "expire"  # fail a job that outlived schedule_to_start or start_to_close
    REQUEUE = "requeue"  # take a job back from a lost worker
    FAIL = "fail"  # fail a job lost with its worker: poison, attempts exhausted, or on_lost = "fail"
    RESTART = "restart"  # restart a worker on its platform


class Outcome(StrEnum):
    APPLIED = "applied"
    NOOP = "noop"
    FAILED = "failed"
    SUPPRESSED = "suppressed"
    DRY_RUN = "dry_run"


class Severity(StrEnum):
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Code(StrEnum):
    """Finding codes: public and stable."""

    WORKER_NEVER_SEEN = "worker_never_seen"
    WORKER_NOT_RUNNING = "worker_not_running"
    WORKER_CRASH_LOOP = "worker_crash_loop"
    WORKER_OOM_KILLED = "worker_oom_killed"
    WORKER_STARVED = "worker_starved"
    WORKERS_SATURATED = "workers_saturated"
    WORKER_WEDGED = "worker_wedged"
    QUEUE_PAUSED = "queue_paused"
    JOB_TIMED_OUT = "job_timed_out"
    JOB_POISON = "job_poison"
    STORE_UNREACHABLE = "store_unreachable"
    STORE_ACCESS_DENIED = "store_access_denied"
    STORE_SCHEMA_MISMATCH = "store_schema_mismatch"
    STORE_INDEX_MISSING = "store_index_missing"
    CREDENTIAL_MISSING = "credential_missing"
    CREDENTIAL_INVALID = "credential_invalid"
    PROVIDER_UNAVAILABLE = "provider_unavailable"
    PROVIDER_RATE_LIMITED = "provider_rate_limited"
    CLOCK_SKEW = "clock_skew"
    MONITOR_SUSPECT = "monitor_suspect"
    REMEDIATION_INEFFECTIVE = "remediation_ineffective"
    REMEDIATION_BUDGET_SPENT = "remediation_budget_spent"


# ---------------------------------------------------------------- jobs


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job failed: a stable code and a sentence that says what happened, what it means, what to do."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to be submitted. `key` makes the submission idempotent within its queue. `delay` is in seconds."""

    kind: str
    payload: Mapping[str, Any]
    queue: str = "default"
    priority: int = 0  # higher is claimed first
    max_attempts: int = 3
    progress_total: int = 0
    delay: float = 0.0
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """One row of a queue, as read.

    `attempt` counts charged attempts; `token` counts claims and fences writes; `lost` counts the workers
    that died while running this job; `run_at` is when the job became, or becomes, eligible to be claimed:
    its wait is counted from there.
    """

    id: str
    queue: str
    kind: str
    state: JobState
    priority: int
    attempt: int
    max_attempts: int
    lost: int
    token: int
    run_alone: bool
    session_id: str | None
    created_at: datetime
    run_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    updated_at: datetime
    progress_done: int
    progress_total: int
    status_message: str
    payload: Mapping[str, Any]
    result: Mapping[str, Any] | None
    error: JobError | None


@dataclass(frozen=True, slots=True)
class JobRef:
    """What a repair must know of a job: enough to decide, and what was read, to guard the write.

    On an owned queue the guard is (id, state, token). On a foreign one `seen` holds each timestamp or counter
    that was read, as (field, value as stored).
    """

    id: str
    queue: str
    kind: str
    state: JobState
    token: int
    attempt: int
    max_attempts: int
    lost: int
    session_id: str | None
    run_at: datetime
    started_at: datetime | None
    seen: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Claimed:
    """A claim held by a worker: the fence for all its writes."""

    id: str
    token: int


class FinishKind(StrEnum):
    SUCCEED = "succeed"
    FAIL = "fail"
    RETRY = "retry"  # back to pending, eligible after `delay` seconds; the attempt stays charged
    RELEASE = "release"  # back to pending at once; the attempt is given back (drain)


@dataclass(frozen=True, slots=True)
class Finish:
    """How a worker lets go of a claim. Written in batches, each guarded by its token."""

    claim: Claimed
    kind: FinishKind
    result: Mapping[str, Any] | None = None
    error: JobError | None = None
    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class PaperRef:
    """Where a submitted paper's bytes are: content-addressed, so that identical uploads are kept once."""

    name: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class PaperResult:
    """One graded paper, checkpointed as soon as it is known.

    `status` is "graded", "needs_review" (a person must look) or "failed" (unreadable; `error` says why).
    `times_written` counts accepted writes: more than one means a paper was graded twice.
    """

    index: int
    name: str
    status: str
    marks: float | None
    max_marks: float
    detail: Mapping[str, Any]
    error: JobError | None = None
    times_written: int = 1


# ---------------------------------------------------------------- workers


@dataclass(frozen=True, slots=True)
class NewSession:
    """What a worker process says of itself when it opens its session."""

    name: str
    queues: tuple[str, ...]
    slots: int
    host: str
    pid: int
    version: str
    target: str = ""  # its place on the platform: supervised child's or pod's name
    incarnation: str = ""  # which life of that place: the child's spawn id, the pod's UID
    http: str = ""  # where it serves /livez, /readyz and /metrics


@dataclass(frozen=True, slots=True)
class Session:
    """A worker process as the store knows it. `beats` grows by one with every beat, so that a beat can be
    told from silence without comparing two machines' clocks. `loop_age` is how old the event loop's own pulse
    was, in seconds, when the independent thread wrote the beat."""

    id: str
    name: str
    queues: tuple[str, ...]
    slots: int
    busy: int
    host: str
    pid: int
    version: str
    target: str
    incarnation: str
    http: str
    started_at: datetime
    beat_at: datetime
    beats: int
    loop_age: float
    ended_at: datetime | None
    end_reason: str


@dataclass(frozen=True, slots=True)
class BeatReply:
    """What a beat tells the worker back: is the session still ours, and which claims are still held."""

    session_open: bool
    held: frozenset[Claimed]


class ExitKind(StrEnum):
    EXITED = "exited"  # by itself, with a code
    SIGNALLED = "signalled"  # killed by a signal
    OOM_KILLED = "oom_killed"
    CRASH_LOOP = "crash_loop"
    EVICTED = "evicted"
    GONE = "gone"  # the platform no longer knows it


@dataclass(frozen=True, slots=True)
class ExitCause:
    """How a worker's process ended. `status` is the exit code or the signal number."""

    kind: ExitKind
    status: int = 0
    detail: str = ""

    @property
    def clean(self) -> bool:
        return self.kind is ExitKind.EXITED and self.status == 0

    def __str__(self) -> str:
        words = {ExitKind.EXITED: f"exited with code {self.status}", ExitKind.SIGNALLED: f"killed by {self.detail}"}
        return words.get(self.kind) or self.detail or self.kind.value.replace("_", " ")


@dataclass(frozen=True, slots=True)
class Target:
    """One worker place on a platform (a supervised child, a pod): what can be restarted.

    `running_seconds` is the age of its present incarnation; `exits` are the recent ends, newest last,
    as (seconds ago, lifetime in seconds, cause).
    """

    name: str
    queues: tuple[str, ...]
    pid: int | None
    running: bool
    running_seconds: float
    wanted: bool = True  # False while it is being stopped on purpose
    last_exit: ExitCause | None = None
    exits: tuple[Exit, ...] = ()
    incarnation: str = ""  # which life of this place is running; a session carries the same word
    ended_incarnations: tuple[str, ...] = ()  # lives this platform saw end, newest last: proof of death


@dataclass(frozen=True, slots=True)
class Exit:
    seconds_ago: float
    lifetime: float
    cause: ExitCause


@dataclass(frozen=True, slots=True)
class WorkerReading:
    """A session with what this watch saw of it itself. `silent_seconds` is how long this watch has seen no new
    beat; `watched_seconds` how long it has watched that session without a gap."""

    session: Session
    silent_seconds: float
    watched_seconds: float
    store_silent_seconds: float  # the same by the store's clock; what a single-cycle watch has to go by
    seen_beating: bool = False  # this watch itself saw it beat: only such a worker can *go* silent


@dataclass(frozen=True, slots=True)
class WorkerVerdict:
    session: Session
    verdict: Verdict
    evidence: str
    target: str | None = None  # the platform target it runs as, where one matches
    silent_seconds: float = 0.0
    in_fleet: bool = False  # it was alive within the fleet gate's window


# ---------------------------------------------------------------- readings and snapshot


@dataclass(frozen=True, slots=True)
class Known(Generic[T]):
    value: T
    mono: float


@dataclass(frozen=True, slots=True)
class Unknown:
    """A reading that failed. `code` is the finding it amounts to, if any; `reason` says what happened."""

    reason: str
    mono: float
    code: Code | None = None


Reading = Known[T] | Unknown


@dataclass(frozen=True, slots=True)
class Histogram:
    """Cumulative since the store was made: `counts` per bucket (not cumulative over buckets; one more entry than
    `bounds`, for the rest), and the sum of what was observed, in seconds."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float

    @property
    def count(self) -> int:
        return sum(self.counts)


WAIT_BOUNDS = (0.5, 1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
RUN_BOUNDS = (0.5, 1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)


@dataclass(frozen=True, slots=True)
class QueueStats:
    """What one probe saw of a queue. Counters are totals since the store was made, so they never fall."""

    queue: str
    now: datetime
    pending: int  # eligible or waiting for a backoff
    running: int
    depth_exact: bool  # False: the counts are a floor, capped to keep the probe cheap
    oldest_pending_at: datetime | None  # run_at of the longest eligible pending job
    oldest_running_at: datetime | None  # started_at of the longest running job
    last_started_at: datetime | None
    last_finished_at: datetime | None
    enqueued_total: int = 0
    retries_total: int = 0
    finished_total: Mapping[str, int] = field(default_factory=dict)  # by final state
    papers_total: Mapping[str, int] = field(default_factory=dict)  # by paper status
    wait_seconds: Histogram | None = None
    run_seconds: Mapping[str, Histogram] = field(default_factory=dict)  # by final state


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """A queue's stats and the rows a repair might concern, each list oldest first and bounded.

    `overdue_pending` and `overdue_running` hold jobs of watched kinds whose raw age is beyond the timeout (credits
    are the decision's business); `held_by_absent` the running jobs whose session is not alive, ended or missing.
    `truncated` tells that a list was cut: another cycle follows at once when all of it was repaired.
    """

    stats: QueueStats
    overdue_pending: tuple[JobRef, ...] = ()
    overdue_running: tuple[JobRef, ...] = ()
    held_by_absent: tuple[JobRef, ...] = ()
    truncated: bool = False
    unclaimed_since: datetime | None = None  # run_at of the longest eligible job of a watched kind
    arrival_rate: float | None = None  # jobs enqueued per second, over the last minutes this watch has seen


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """The store as a whole. `clock_offset` is store time less this machine's wall clock, in seconds."""

    kind: str
    now: datetime
    clock_offset: float
    missing_indexes: tuple[str, ...] = ()
    session_ever: Mapping[str, bool] = field(default_factory=dict)  # by queue: has any worker ever opened a session


@dataclass(frozen=True, slots=True)
class Credit:
    """Store time in which nobody may be blamed for waiting: an outage, a pause, a step of the clock.

    Spans may overlap; what is credited is their union.
    """

    kind: str  # "outage" | "pause" | "clock"
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Pause:
    """Repairs are held until `until`; observation goes on."""

    started_at: datetime
    until: datetime | None  # None: until somebody resumes
    by: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RestartRecord:
    """A restart from the audit trail. `verified` is None while its verify window is open."""

    audit_id: int
    target: str
    queue: str
    at: datetime
    outcome: Outcome
    verified: bool | None


@dataclass(frozen=True, slots=True)
class ControlFacts:
    """What the store remembers of the watch itself, so that a restart of the watch changes nothing."""

    now: datetime
    pause: Pause | None = None
    resumed_at: datetime | None = None  # the last `gradewatch resume`: earlier failed restarts no longer count
    credits: tuple[Credit, ...] = ()
    restarts: tuple[RestartRecord, ...] = ()  # newest last
    spent: Mapping[tuple[ActionKind, str], int] = field(default_factory=dict)  # (action, queue) -> applied in window


@dataclass(frozen=True, slots=True)
class CredentialFacts:
    """One credential a configured provider needs. `problem` is None when nothing is wrong with it."""

    variable: str
    provider: str
    problem: Code | None
    message: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All readings of one cycle, immutable."""

    mono: float
    store: Reading[StoreFacts]
    workers: Reading[tuple[WorkerReading, ...]]
    queues: Mapping[str, Reading[QueueFacts]]
    platform: Reading[tuple[Target, ...]]
    environment: Reading[tuple[CredentialFacts, ...]]
    control: Reading[ControlFacts]
    observe_only: bool = False  # first cycle after a start or an outage
    single: bool = False  # `watch --once`: its caller is the second pair of eyes
    clock_step: float = 0.0  # seconds the store's clock moved more than the monotonic one since the last cycle


# ---------------------------------------------------------------- diagnosis and repair


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
