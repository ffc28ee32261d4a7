"""What comes back in documents, as values of the model."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from gradewatch.model import AuditEntry, Code, CredentialFacts, JobRef, Outcome
from gradewatch.stores.mongo.encode import EPOCH, Document
from gradewatch.stores.rows import STATES, Reader, Row

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


def job_ref(row: Row) -> JobRef:
    return JobRef(
        id=row["_id"],
        queue=row["queue"],
        kind=row["kind"],
        state=STATES[row["state"]],
        token=row["token"],
        attempt=row["attempt"],
        max_attempts=row["max_attempts"],
        lost=row["lost"],
        session_id=row["session_id"],
        run_at=when(row["run_at"]),
        started_at=None if row["started_at"] is None else when(row["started_at"]),
        waited=row["waited"] / 1_000_000,
    )


def before(row: Row) -> Document:
    """A job's row as the audit trail keeps it: its times in microseconds, its result as it was given."""
    kept = {**row, "id": row["_id"]}
    for name in ("_id", *UNAUDITED):
        kept.pop(name, None)
    return kept


def _shown(kept: Row) -> Document:
    """The row as people read it: times as ISO 8601, the result decoded."""
    row = {**kept, "result": None if kept["result"] is None else json.loads(kept["result"])}
    row.update({name: when(row[name]).isoformat() for name in _TIMES if row[name] is not None})
    return row


_READER = Reader(when, json.loads, _shown, id="_id")
job, paper, session = _READER.job, _READER.paper, _READER.session
restarts, pause, maybe = _READER.restarts, _READER.pause, _READER.maybe


def audit_entry(row: Row) -> AuditEntry:
    if row["outcome"] == BEGUN:
        row = {**row, "outcome": Outcome.FAILED.value, "message": f"{row['message']} {UNSETTLED}"}
    return _READER.audit_entry(row)


def trouble(row: Row) -> CredentialFacts:
    problem = Code(row["code"]) if row["code"] else None
    return CredentialFacts(row["variable"], row["_id"], problem, row["message"], row["fix"])
