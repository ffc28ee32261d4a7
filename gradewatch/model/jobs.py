"""Jobs, claims, papers and what a worker may write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


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
    waited: float = 0.0  # seconds of its run in which it waited for a provider: they do not count


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
