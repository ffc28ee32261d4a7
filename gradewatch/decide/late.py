"""PURE. Jobs that waited or ran for too long, and the cause that their error names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from gradewatch.config import QueueSettings, Timeouts
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
    limits = queue.timeouts
    if queue.on_schedule_to_start == "fail" and not queue.paused:
        told = _Told(
            "schedule_to_start", "waited for a worker", limits.schedule_to_start, _cause(queue.name, diagnosis)
        )
        yield from _expired(facts.overdue_pending, told, facts, limits, control)
    if queue.on_start_to_close == "fail":
        told = _Told("start_to_close", "ran", limits.start_to_close)
        yield from _expired(facts.overdue_running, told, facts, limits, control)


def _expired(
    jobs: Iterable[JobRef], told: _Told, facts: QueueFacts, limits: Timeouts, control: ControlFacts
) -> Iterator[Action]:
    for job in jobs:
        late = late_by(job, facts.stats.now, limits, control.credits)
        if late > 0:
            words, error = told.of(late)
            yield job_action(ActionKind.EXPIRE, job, Code.JOB_TIMED_OUT, words, error)


class _Told:
    """What is said of jobs that were late for the same reason: the same to all whose time is the same to the second,
    of which there are many in a mass of them."""

    def __init__(self, code: str, did: str, limit: float, cause: str = "") -> None:
        self._code, self._did, self._limit, self._cause = code, did, limit, cause
        self._said: dict[int, tuple[str, JobError]] = {}

    def of(self, late: float) -> tuple[str, JobError]:
        seconds = round(self._limit + late)
        if seconds not in self._said:
            words = f"{self._did} for {_span(seconds)}, {_span(round(self._limit))} allowed{self._cause}"
            self._said[seconds] = words, JobError(self._code, f"It {words}.")
        return self._said[seconds]


def _cause(queue: str, diagnosis: Diagnosis) -> str:
    gravest_last = reversed(diagnosis.findings)
    causes: Mapping[Code, str] = {f.code: f.summary for f in gravest_last if f.queue == queue}
    return next((f"; cause: {causes[c]} ({c.value})" for c in CAUSES if c in causes), "")


def _span(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"
