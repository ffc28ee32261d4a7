"""What comes back in documents, as values of the model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from gradewatch.model import (
    AuditEntry,
    Code,
    CredentialFacts,
    Job,
    JobError,
    JobRef,
    JobState,
    Outcome,
    PaperResult,
    Pause,
    RestartRecord,
    Session,
)
from gradewatch.stores.mongo.encode import EPOCH, Document

Row = Mapping[str, Any]
_STATES = {state.value: state for state in JobState}

# What a job's document holds beyond what the audit trail keeps of it. A payload never changes and stays on its job:
# copying it would only spread what may be personal data.
UNAUDITED = ("payload", "key", "waited", "write")
_REF = "queue kind state token attempt max_attempts lost session_id run_at started_at waited"
REF = dict.fromkeys(_REF.split(), 1)
BEGUN = "begun"  # the outcome of an entry that was written before the change it tells of, and is not settled yet
UNSETTLED = "(begun; whether it was done is not known yet)"
_TIMES = ("created_at", "run_at", "started_at", "finished_at", "updated_at")


def when(value: int) -> datetime:
    return EPOCH + timedelta(microseconds=value)


def maybe(value: int | None) -> datetime | None:
    return None if value is None else when(value)


def _error(row: Row) -> JobError | None:
    return None if row["error_code"] is None else JobError(row["error_code"], row["error_message"] or "")


def job(row: Row) -> Job:
    return Job(
        id=row["_id"],
        queue=row["queue"],
        kind=row["kind"],
        state=_STATES[row["state"]],
        priority=row["priority"],
        attempt=row["attempt"],
        max_attempts=row["max_attempts"],
        lost=row["lost"],
        token=row["token"],
        run_alone=row["run_alone"],
        session_id=row["session_id"],
        created_at=when(row["created_at"]),
        run_at=when(row["run_at"]),
        started_at=maybe(row["started_at"]),
        finished_at=maybe(row["finished_at"]),
        updated_at=when(row["updated_at"]),
        progress_done=row["progress_done"],
        progress_total=row["progress_total"],
        status_message=row["status_message"],
        payload=json.loads(row["payload"]),
        result=None if row["result"] is None else json.loads(row["result"]),
        error=_error(row),
    )


def job_ref(row: Row) -> JobRef:
    return JobRef(
        id=row["_id"],
        queue=row["queue"],
        kind=row["kind"],
        state=_STATES[row["state"]],
        token=row["token"],
        attempt=row["attempt"],
        max_attempts=row["max_attempts"],
        lost=row["lost"],
        session_id=row["session_id"],
        run_at=when(row["run_at"]),
        started_at=maybe(row["started_at"]),
        waited=row["waited"] / 1_000_000,
    )


def paper(row: Row) -> PaperResult:
    return PaperResult(
        index=row["idx"],
        name=row["name"],
        status=row["status"],
        marks=row["marks"],
        max_marks=row["max_marks"],
        detail=json.loads(row["detail"]),
        error=_error(row),
        times_written=row["times_written"],
    )


def session(row: Row) -> Session:
    return Session(
        id=row["_id"],
        name=row["name"],
        queues=tuple(row["queues"]),
        slots=row["slots"],
        busy=row["busy"],
        host=row["host"],
        pid=row["pid"],
        version=row["version"],
        target=row["target"],
        incarnation=row["incarnation"],
        http=row["http"],
        started_at=when(row["started_at"]),
        beat_at=when(row["beat_at"]),
        beats=row["beats"],
        loop_age=row["loop_age"],
        ended_at=maybe(row["ended_at"]),
        end_reason=row["end_reason"],
    )


def before(row: Row) -> Document:
    """A job's row as the audit trail keeps it: its times in microseconds, its result as it was given."""
    kept = {**row, "id": row["_id"]}
    for name in ("_id", *UNAUDITED):
        kept.pop(name, None)
    return kept


def audit_entry(row: Row) -> AuditEntry:
    return AuditEntry(
        id=row["_id"],
        sweep=row["sweep"],
        at=when(row["at"]),
        by=row["by"],
        action=row["action"],
        queue=row["queue"],
        subject=row["subject"],
        outcome=Outcome.FAILED if row["outcome"] == BEGUN else Outcome(row["outcome"]),
        reason=row["reason"],
        message=f"{row['message']} {UNSETTLED}" if row["outcome"] == BEGUN else row["message"],
        before=_shown(row["before"]),
        verified=row["verified"],
        undone_at=maybe(row["undone_at"]),
    )


def _shown(kept: Row | None) -> Document | None:
    """The row as people read it: times as ISO 8601, the result decoded."""
    if kept is None:
        return None
    row = {**kept, "result": None if kept["result"] is None else json.loads(kept["result"])}
    row.update({name: when(row[name]).isoformat() for name in _TIMES if row[name] is not None})
    return row


def restart(row: Row) -> RestartRecord:
    return RestartRecord(
        audit_id=row["_id"],
        target=row["subject"],
        queue=row["queue"],
        at=when(row["at"]),
        outcome=Outcome(row["outcome"]),
        verified=row["verified"],
    )


def pause(row: Row) -> Pause:
    return Pause(started_at=when(row["started_at"]), until=maybe(row["until"]), by=row["by"], reason=row["reason"])


def trouble(row: Row) -> CredentialFacts:
    problem = Code(row["code"]) if row["code"] else None
    return CredentialFacts(row["variable"], row["_id"], problem, row["message"], row["fix"])
