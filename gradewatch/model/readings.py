"""What one probe saw, and the snapshot of all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from gradewatch.model.codes import ActionKind, Code, Outcome
from gradewatch.model.jobs import JobRef
from gradewatch.model.workers import Target, WorkerReading

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Known(Generic[T]):
    value: T
    mono: float


@dataclass(frozen=True, slots=True)
class Unknown:
    """A reading that failed. `code` is the finding it amounts to, if any; `reason` says what happened, and `fix` what
    to do about it, where that is known better than the code alone tells."""

    reason: str
    mono: float
    code: Code | None = None
    fix: str = ""


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
class ForeignFacts:
    """What is only to be seen in a queue that another application owns. Each is bounded.

    `unattributed`: running jobs of which nothing tells whether their worker lives. `unreadable`: one line for each
    job whose row cannot be understood; such jobs are left alone. `run_twice`: one (job id, what was seen) for each job
    that two workers worked on. `behind`: seconds by which the application's clock is behind the store's, as the dates
    of new jobs tell; ages are counted without them.
    """

    unattributed: tuple[JobRef, ...] = ()
    unreadable: tuple[str, ...] = ()
    run_twice: tuple[tuple[str, str], ...] = ()
    behind: float = 0.0


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
    foreign: ForeignFacts | None = None  # of a queue that another application owns


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
    """One credential a configured provider needs, or what a worker met when it used it. `problem` is None when nothing
    is wrong with it. Several facts may concern one variable."""

    variable: str
    provider: str
    problem: Code | None
    message: str = ""
    fix: str = ""  # what to do, in words; empty: what this code's finding says anyway


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
