"""Between rows and the model: times, JSON, and the columns that make up each value."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from gradewatch.model import Job, JobError, JobRef, Session
from gradewatch.stores.rows import STATES, Reader

_ENCODER = json.JSONEncoder(allow_nan=False, separators=(",", ":"))
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
LARGEST = 2**63 - 1  # what SQLite keeps as an integer
FOREVER = 10 * 365 * 86400 * 1_000_000  # the longest duration kept, so that no time leaves the calendar

JOB_COLUMNS = (
    "seq, id, queue, kind, state, priority, attempt, max_attempts, lost, token, run_alone, session_id, created_at, "
    "run_at, started_at, finished_at, updated_at, progress_done, progress_total, status_message, payload, result, "
    "error_code, error_message"
)
REF_COLUMNS = "id, queue, kind, state, token, attempt, max_attempts, lost, session_id, run_at, started_at, waited"


def micros(seconds: float) -> int:
    """A duration in seconds as whole microseconds, kept between zero and ten years."""
    return int(max(0.0, min(seconds * 1e6, FOREVER)))


@lru_cache(maxsize=1024)  # what is claimed, or read as a page, mostly came in batches
def from_micros(value: int) -> datetime:
    return EPOCH + timedelta(microseconds=value)


def to_micros(when: datetime) -> int:
    return (when - EPOCH) // MICROSECOND


def dump(value: Any) -> str:
    """JSON as the store keeps it. Raises TypeError, ValueError or RecursionError for what JSON cannot hold."""
    return _ENCODER.encode(value)


def dump_list(values: Iterable[Any]) -> str:
    return dump(list(values))


def listed(connection: sqlite3.Connection, sql: str, parameters: Mapping[str, Any]) -> list[list[Any]]:
    """What a query says in one JSON list of lists. Each row that SQLite hands over costs a turn of the interpreter's
    lock, for which a busy event loop lets it wait."""
    answer: list[list[Any]] = json.loads(connection.execute(sql, parameters).fetchone()[0])
    return answer


def text(value: str) -> str:
    """Text that SQLite can hold, and take out of JSON: lone surrogates, as broken input yields them, become question
    marks, as NUL becomes the replacement mark."""
    if value.isascii() and "\x00" not in value:
        return value
    return value.encode("utf-8", "replace").decode("utf-8").replace("\x00", "\ufffd")


def job(row: Sequence[Any]) -> Job:
    """A row of JOB_COLUMNS. Unpacked by place, not by name: claims read thousands a second."""
    (
        _, job_id, queue, kind, state, priority, attempt, max_attempts, lost, token, run_alone, session_id, created_at,
        run_at, started_at, finished_at, updated_at, done, total, message, payload, result, code, why,
    ) = row  # fmt: skip
    return Job(
        id=job_id,
        queue=queue,
        kind=kind,
        state=STATES[state],
        priority=priority,
        attempt=attempt,
        max_attempts=max_attempts,
        lost=lost,
        token=token,
        run_alone=bool(run_alone),
        session_id=session_id,
        created_at=from_micros(created_at),
        run_at=from_micros(run_at),
        started_at=None if started_at is None else from_micros(started_at),
        finished_at=None if finished_at is None else from_micros(finished_at),
        updated_at=from_micros(updated_at),
        progress_done=done,
        progress_total=total,
        status_message=message,
        payload=json.loads(payload),
        result=None if result is None else json.loads(result),
        error=None if code is None else JobError(code, why or ""),
    )


def job_ref(row: sqlite3.Row) -> JobRef:
    """A row of REF_COLUMNS."""
    job_id, queue, kind, state, token, attempt, max_attempts, lost, session_id, run_at, started_at, waited = row
    return JobRef(
        id=job_id,
        queue=queue,
        kind=kind,
        state=STATES[state],
        token=token,
        attempt=attempt,
        max_attempts=max_attempts,
        lost=lost,
        session_id=session_id,
        run_at=from_micros(run_at),
        started_at=None if started_at is None else from_micros(started_at),
        waited=waited / 1_000_000,
    )


SESSION_COLUMNS = (
    "id, name, queues, slots, busy, host, pid, version, target, incarnation, http, started_at, beat_at, beats, "
    "loop_age, ended_at, end_reason"
)


@lru_cache(maxsize=1024)  # a thousand workers serve but a few sets of queues
def _queues(kept: str) -> tuple[str, ...]:
    return tuple(json.loads(kept))


def session(row: Sequence[Any]) -> Session:
    """A row of SESSION_COLUMNS."""
    (
        session_id, name, queues, slots, busy, host, pid, version, target, incarnation, http, started_at, beat_at,
        beats, loop_age, ended_at, end_reason,
    ) = row  # fmt: skip
    return Session(
        id=session_id,
        name=name,
        queues=_queues(queues),
        slots=slots,
        busy=busy,
        host=host,
        pid=pid,
        version=version,
        target=target,
        incarnation=incarnation,
        http=http,
        started_at=from_micros(started_at),
        beat_at=from_micros(beat_at),
        beats=beats,
        loop_age=loop_age,
        ended_at=None if ended_at is None else from_micros(ended_at),
        end_reason=end_reason,
    )


# A payload never changes and stays on its job: copying it would only spread what may be personal data.
_BEFORE = tuple(name for name in JOB_COLUMNS.split(", ") if name not in ("seq", "payload"))
BEFORE_SQL = f"json_object({', '.join(f'{name!r}, {name}' for name in _BEFORE)})"
"""A job's row as the audit trail keeps it, made by SQLite: repairs come by the hundred thousand."""
_TIMES = ("created_at", "run_at", "started_at", "finished_at", "updated_at")


def _shown(kept: str) -> dict[str, Any]:
    """The row as people read it: times as ISO 8601, the result decoded."""
    row: dict[str, Any] = json.loads(kept)
    row.update({name: from_micros(row[name]).isoformat() for name in _TIMES if row[name] is not None})
    row["result"] = json.loads(row["result"]) if row["result"] is not None else None
    return row


_READER = Reader(from_micros, json.loads, _shown)
paper, audit_entry, restarts, pause = _READER.paper, _READER.audit_entry, _READER.restarts, _READER.pause
