"""PURE. What every repair of a job is made of."""

from __future__ import annotations

from gradewatch.model import (
    Action,
    ActionKind,
    Code,
    JobError,
    JobRef,
)


def job_action(kind: ActionKind, job: JobRef, reason: Code, message: str, error: JobError) -> Action:
    return Action(kind, job.queue, reason, message, job=job, error=error)
