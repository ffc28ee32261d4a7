"""What a person does to one job by hand: the same guard and the same audit trail as the watch's repairs."""

from __future__ import annotations

import uuid
from typing import Any

from gradewatch.errors import Conflict, NotFound
from gradewatch.model import Job, JobState, Outcome
from gradewatch.ports import Verb
from gradewatch.stores.mongo import audit, encode, rows
from gradewatch.stores.mongo.database import Database
from gradewatch.stores.mongo.encode import Document
from gradewatch.stores.mongo.tallies import Changes

_UNSAID = {"requeue": "Queued again by hand.", "fail": "Failed by hand.", "cancel": "Cancelled by hand."}
_FROM = {
    "requeue": ("running", "failed", "cancelled"),
    "fail": ("pending", "running"),
    "cancel": ("pending", "running"),
}
_BECOMES = {"requeue": "pending", "fail": "failed", "cancel": "cancelled"}
_ANEW = dict.fromkeys(("session_id", "started_at", "finished_at", "result", "error_code", "error_message"))


async def operate(
    data: Database, job_id: str, verb: Verb, by: str, sweep: str, message: str, seen: tuple[JobState, int] | None
) -> Job:
    """Raises NotFound, and Conflict when the job's state does not allow it or is no longer as seen."""
    if verb not in _FROM:
        raise ValueError(f"{verb!r} is none of {', '.join(_FROM)}")
    now, number = await data.tick("audit", 1)
    told = message or _UNSAID[verb]

    async def work(session: Any) -> Job:
        row = await data.jobs.find_one({"_id": encode.text(job_id)}, session=session)
        row = _allowed(row, job_id, verb, seen)
        line = audit.Line(
            sweep=sweep,
            by=by,
            action=verb,
            queue=row["queue"],
            subject=row["_id"],
            outcome=Outcome.APPLIED,
            reason=audit.OPERATOR,
            message=told,
            before=row,
            after=(_BECOMES[verb], row["token"]),
            mark=uuid.uuid4().hex,
            number=number,
        )
        await audit.begin(data, session, [line], now)
        guard = {name: row[name] for name in ("_id", "state", "token", "write")}
        change = {"$set": _change(verb, told, now) | {"write": line.mark}}
        changed = await data.jobs.find_one_and_update(guard, change, return_document=True, session=session)
        if changed is None:
            line.outcome, line.message = Outcome.NOOP, "the job was changed just before"
            await audit.conclude(data, session, [line], now)
            raise Conflict(f"Job {job_id} was changed just now: look again, then decide. It is untouched.")
        await audit.conclude(data, session, [line], now)
        changes = Changes()
        changes.moved(row, _BECOMES[verb], now)
        await changes.write(data, session)
        return rows.job(changed)

    return await data.transact(work)


def _allowed(row: Document | None, job_id: str, verb: str, seen: tuple[JobState, int] | None) -> Document:
    if row is None:
        raise NotFound(f"There is no job {job_id}: check the id, or it was purged after its retention time.")
    if seen is not None and (row["state"], row["token"]) != (seen[0].value, seen[1]):
        raise Conflict(f"Job {job_id} is {row['state']} by now and was {seen[0].value}: look again, then decide.")
    if row["state"] not in _FROM[verb]:
        raise Conflict(
            f"Job {job_id} is {row['state']}; only a {' or '.join(_FROM[verb])} job can be put to {verb!r}. "
            "It is untouched."
        )
    return row


def _change(verb: Verb, message: str, now: int) -> Document:
    if verb == "requeue":
        anew = {"attempt": 0, "lost": 0, "run_alone": False, "run_at": now}
        return {"state": "pending", "updated_at": now, **anew, **_ANEW}
    code = "failed_by_operator" if verb == "fail" else "cancelled"
    told = {"error_code": code, "error_message": encode.said(message)}
    return {"state": _BECOMES[verb], "updated_at": now, "finished_at": now, **told}
