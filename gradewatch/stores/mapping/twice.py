"""PURE. Jobs that two workers worked on: taken by a second while they ran, or written to after they were taken back.

Nothing here can prevent it in a table we do not own; it can be seen, and must be said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from gradewatch.config.foreign import ForeignSettings
from gradewatch.model import JobState, NotedRepair
from gradewatch.stores.mapping.row import ForeignJob
from gradewatch.stores.mapping.writes import restored, same


@dataclass(frozen=True, slots=True)
class Holder:
    """Who held a running job when it was last looked at."""

    worker: str
    started: datetime | None
    attempts: int | None


def holders(jobs: Iterable[ForeignJob]) -> Mapping[str, Holder]:
    return {job.id: Holder(job.worker, job.started, job.attempts) for job in jobs}


def taken_again(before: Mapping[str, Holder], jobs: Sequence[ForeignJob], repaired: Iterable[str]) -> dict[str, str]:
    """Jobs that ran at both looks and changed hands between them, by no repair of ours and without a new attempt."""
    ours, found = frozenset(repaired), {}
    for job in jobs:
        was = before.get(job.id)
        if was is None or job.id in ours or job.attempts != was.attempts:
            continue
        if was.worker and job.worker and job.worker != was.worker:
            found[job.id] = f"{was.worker} was running it when {job.worker} took it too"
        elif was.started and job.started and job.started != was.started and job.worker == was.worker:
            found[job.id] = (
                f"it was started at {was.started:%H:%M:%S} and, still running, again at {job.started:%H:%M:%S}"
            )
    return found


@dataclass(frozen=True, slots=True)
class Ending:
    """How a finished job was when it was last looked at."""

    state: JobState
    started: datetime
    finished: datetime


def endings(jobs: Iterable[ForeignJob]) -> Mapping[str, Ending]:
    """Of those whose row tells when they were started and finished."""
    return {
        job.id: Ending(job.state, job.started, job.finished)
        for job in jobs
        if job.state is not None and job.started is not None and job.finished is not None
    }


def ended_again(before: Mapping[str, Ending], jobs: Iterable[ForeignJob], repaired: Iterable[str]) -> dict[str, str]:
    """Jobs that were finished at the last look and have been written to since by somebody who had not started them
    anew: two workers took them in one moment, and the second has come to its end, or goes on."""
    ours, found = frozenset(repaired), {}
    for job in jobs:
        was = before.get(job.id)
        if was is None or job.id in ours or job.started != was.started:
            continue
        first = f"it was {was.state.value} at {was.finished:%H:%M:%S} and, without having been started anew, "
        if job.state is JobState.RUNNING:
            found[job.id] = first + "is running again: a second worker goes on with it"
        elif job.finished is not None and (job.state, job.finished) != (was.state, was.finished):
            state = job.state.value if job.state else "written to"
            found[job.id] = first + f"{state} again at {job.finished:%H:%M:%S}: two workers finished it"
    return found


def written_late(
    settings: ForeignSettings, repairs: Sequence[NotedRepair], now_is: Mapping[str, ForeignJob]
) -> dict[str, str]:
    """Jobs whose last repair was overwritten by somebody who cannot have claimed them since."""
    found: dict[str, str] = {}
    for repair in {r.note.subject: r for r in reversed(repairs)}.values():
        job = now_is.get(repair.note.subject)
        if job is None or repair.undone_at is not None or job.state not in _WORKERS_WRITE:
            continue
        word = settings.words.state(restored(repair.note.after).get(settings.fields.state))
        if job.state is word or _claimed_since(settings, job, repair):
            continue
        if word is JobState.PENDING:
            found[job.id] = (
                f"it was taken back at {repair.at:%H:%M:%S}, and became {job.state.value} without having been claimed "
                "again: a write of the worker it was taken from"
            )
        elif word in (JobState.FAILED, JobState.CANCELLED):
            found[job.id] = (
                f"it was failed at {repair.at:%H:%M:%S}, and became {job.state.value} afterwards: a late write of its "
                "worker"
            )
    return found


_WORKERS_WRITE = (JobState.RUNNING, JobState.SUCCEEDED, JobState.FAILED)  # people cancel, and queue again


def _claimed_since(settings: ForeignSettings, job: ForeignJob, repair: NotedRepair) -> bool:
    """A job that was taken back had its start taken off: one that is there is a new claim's, unless the former worker
    wrote its own again. No two clocks are compared, whose difference a quick claim would fall into."""
    names = settings.fields.started
    if repair.note.action != "requeue":
        return job.started is not None and job.started > repair.at
    if not names:
        return bool(job.worker)
    was = restored(repair.note.before)
    return job.started is not None and not any(same(job.started, was.get(name)) for name in names)


def untouched(now_is: Mapping[str, object], after: Mapping[str, object]) -> bool:
    """Is a row still as a repair left it?"""
    return all(same(now_is.get(name), written) for name, written in after.items())
