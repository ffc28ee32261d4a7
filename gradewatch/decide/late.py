"""PURE. Jobs that waited or ran for too long, and the cause that their error names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gradewatch.config import QueueSettings
from gradewatch.decide.actions import job_action
from gradewatch.history import late_by
from gradewatch.model import (
    Action,
    ActionKind,
    Code,
    ControlFacts,
    Diagnosis,
    JobError,
    JobRef,
    QueueFacts,
)

CAUSES = (  # which finding explains a job's wait to the person who reads its error, in this order
    Code.WORKER_NEVER_SEEN,
    Code.WORKER_NOT_RUNNING,
    Code.WORKER_WEDGED,
    Code.WORKERS_SATURATED,
)


def expiries(queue: QueueSettings, facts: QueueFacts, diagnosis: Diagnosis, control: ControlFacts) -> Iterator[Action]:
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
    return job_action(ActionKind.EXPIRE, job, Code.JOB_TIMED_OUT, words, JobError(code, f"It {words}."))


def _cause(queue: str, diagnosis: Diagnosis) -> str:
    gravest_last = reversed(diagnosis.findings)
    causes: Mapping[Code, str] = {f.code: f.summary for f in gravest_last if f.queue == queue}
    return next((f"; cause: {causes[c]} ({c.value})" for c in CAUSES if c in causes), "")


def _span(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"
