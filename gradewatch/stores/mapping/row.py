"""PURE. What one row of another application's queue means; and what of it cannot be understood."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from gradewatch.config.foreign import ForeignSettings
from gradewatch.model import Job, JobError, JobRef, JobState
from gradewatch.stores.mapping.table import Row
from gradewatch.stores.mapping.times import Unreadable, read_time

AHEAD = timedelta(seconds=60)  # a time this far in the future is no time anything happened at


@dataclass(frozen=True, slots=True)
class ForeignJob:
    """A row as understood. `problem` says why it cannot be repaired; such a row is shown, and left alone."""

    id: str
    state: JobState | None
    kind: str
    created: datetime | None
    started: datetime | None
    finished: datetime | None
    heartbeat: datetime | None
    worker: str
    attempts: int | None
    max_attempts: int
    done: int
    total: int
    message: str
    error: str
    seen: tuple[tuple[str, Any], ...]
    problem: str = ""

    @property
    def beats(self) -> int:
        """Differs after every sign of life: a heartbeat, or progress."""
        moved = 0 if self.heartbeat is None else int(self.heartbeat.timestamp() * 1000)
        return moved + self.done


def read_row(settings: ForeignSettings, row: Row, now: datetime) -> ForeignJob:
    """Never raises: what cannot be read becomes `problem`."""
    fields, problems = settings.fields, list[str]()
    word = value(row, fields.state)
    state = settings.words.state(word)
    if state is None:
        problems.append(_strange_word(fields.state, word))

    def when(names: Iterable[str]) -> datetime | None:
        return _first_time(row, names, now, problems)

    created, started = when(fields.created), when(fields.started)
    # A time of finishing matters to nobody but statistics: one that is no time keeps no repair back.
    finished, heartbeat = _first_time(row, fields.finished, now, []), when(fields.heartbeat)
    if state is JobState.PENDING and created is None and not problems:
        problems.append(f"no {' or '.join(fields.created)}: how long it has waited cannot be told")
    if state is JobState.RUNNING and started is None and heartbeat is None and not problems:
        problems.append(f"no {' or '.join((*fields.started, *fields.heartbeat))}: how long it has run cannot be told")
    raw_id = value(row, fields.id)
    if raw_id is None:
        problems.append(f"no {fields.id}")
    return ForeignJob(
        id="" if raw_id is None else str(raw_id),
        state=state,
        kind=_text(value(row, fields.kind)),
        created=created,
        started=started,
        finished=finished,
        heartbeat=heartbeat,
        worker=next((_text(value(row, name)) for name in fields.worker if value(row, name) is not None), ""),
        attempts=_whole(value(row, fields.attempts)),
        max_attempts=_whole(value(row, fields.max_attempts)) or settings.max_attempts,
        done=_whole(value(row, fields.progress_done)) or 0,
        total=fields.total or _whole(value(row, fields.progress_total)) or 0,
        message=_text(value(row, fields.message)),
        error=_text(value(row, fields.error)),
        seen=_seen(settings, row),
        problem="; ".join(problems),
    )


def value(row: Row, name: str) -> Any:
    """The field of that name, a dot leading inside; None where there is none."""
    found: Any = row
    for part in name.split(".") if name else ("",):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _first_time(row: Row, names: Iterable[str], now: datetime, problems: list[str]) -> datetime | None:
    for name in names:
        try:
            when = read_time(value(row, name))
        except Unreadable as wrong:
            problems.append(f"{name}: {wrong}")
            return None
        if when is not None:
            if when > now + AHEAD:
                problems.append(f"{name} lies {round((when - now).total_seconds())} s in the future")
                return None
            return when
    return None


def _strange_word(name: str, word: object) -> str:
    if isinstance(word, str):
        return f"{name} holds the word {word[:40]!r}, which the settings do not know"
    return f"{name} holds no word but {'nothing' if word is None else f'a {type(word).__name__}'}"


def _text(found: object) -> str:
    return "" if found is None else str(found)[:2000]


def _whole(found: object) -> int | None:
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    return int(found) if math.isfinite(found) else None


def _seen(settings: ForeignSettings, row: Row) -> tuple[tuple[str, Any], ...]:
    """The guard of a repair: id, state, and each timestamp, counter and worker that was read."""
    fields = settings.fields
    key = ("_id",) if "_id" in row else ()  # a document's own, by which the server finds it at once
    names = dict.fromkeys((*key, fields.id, fields.state, *fields.times, *fields.worker, *fields.counters))
    return tuple((name, value(row, name)) for name in names)


def job_ref(job: ForeignJob, queue: str, session: str | None, lost: int, waits_since: datetime | None) -> JobRef:
    """What a repair needs of a readable job. `lost`: how often it was taken back already; `waits_since`: when its wait
    began anew, by an undo. Its worker may or may not have counted this attempt: the larger figure is taken."""
    assert job.state is not None
    since = job.created or job.started or job.heartbeat
    assert since is not None
    attempt = max(job.attempts or 0, lost + (job.state is JobState.RUNNING))
    return JobRef(
        id=job.id,
        queue=queue,
        kind=job.kind,
        state=job.state,
        token=0,
        attempt=attempt,
        max_attempts=job.max_attempts,
        lost=lost,
        session_id=session,
        run_at=max(since, waits_since) if waits_since else since,
        started_at=job.started or job.heartbeat if job.state is JobState.RUNNING else job.started,
        seen=job.seen,
    )


def shown(job: ForeignJob, queue: str, now: datetime) -> Job:
    """The job as lists and pages show it; what the row does not tell is left at its default."""
    created = job.created or job.started or job.heartbeat or now
    error = JobError("failed", job.error) if job.error and job.state is JobState.FAILED else None
    return Job(
        id=job.id,
        queue=queue,
        kind=job.kind,
        state=job.state or JobState.PENDING,
        priority=0,
        attempt=job.attempts or 0,
        max_attempts=job.max_attempts,
        lost=0,
        token=0,
        run_alone=False,
        session_id=job.worker or None,
        created_at=created,
        run_at=created,
        started_at=job.started,
        finished_at=job.finished,
        updated_at=job.heartbeat or job.finished or job.started or created,
        progress_done=job.done,
        progress_total=job.total,
        status_message=job.problem or job.message,
        payload={},
        result=None,
        error=error,
    )


def doubled(jobs: Sequence[ForeignJob]) -> frozenset[str]:
    """Ids that more than one row has: such a job cannot be told from its double."""
    return frozenset(job_id for job_id, count in Counter(job.id for job in jobs).items() if count > 1)
