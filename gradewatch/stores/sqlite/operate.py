"""What a person does to one job by hand: the same guard and the same audit trail as the watch's repairs."""

from __future__ import annotations

import sqlite3

from gradewatch.errors import Conflict, NotFound
from gradewatch.model import Job, JobState, Outcome
from gradewatch.ports import Verb
from gradewatch.stores.sqlite import audit, rows

OPERATOR = "operator"  # the reason such entries carry; they spend no budget

_CHANGE = {
    "requeue": "state = 'pending', run_at = gw_now(), session_id = NULL, started_at = NULL, finished_at = NULL, "
    "attempt = 0, lost = 0, run_alone = 0, result = NULL, error_code = NULL, error_message = NULL",
    "fail": "state = 'failed', finished_at = gw_now(), error_code = 'failed_by_operator', error_message = :message",
    "cancel": "state = 'cancelled', finished_at = gw_now(), error_code = 'cancelled', error_message = :message",
}
_FROM = {
    "requeue": ("running", "failed", "cancelled"),
    "fail": ("pending", "running"),
    "cancel": ("pending", "running"),
}
_UNSAID = {"requeue": "Queued again by hand.", "fail": "Failed by hand.", "cancel": "Cancelled by hand."}


def operate(
    connection: sqlite3.Connection,
    job_id: str,
    verb: Verb,
    by: str,
    sweep: str,
    message: str,
    seen: tuple[JobState, int] | None,
) -> Job:
    if verb not in _CHANGE:
        raise ValueError(f"{verb!r} is none of {', '.join(_CHANGE)}")
    look = f"SELECT state, token, seq, queue, {rows.BEFORE_SQL} AS before FROM jobs WHERE id = ?"
    row = connection.execute(look, (rows.text(job_id),)).fetchone()
    if row is None:
        raise NotFound(f"There is no job {job_id}: check the id, or it was purged after its retention time.")
    if seen is not None and (row["state"], row["token"]) != (seen[0].value, seen[1]):
        raise Conflict(f"Job {job_id} is {row['state']} by now and was {seen[0].value}: look again, then decide.")
    if row["state"] not in _FROM[verb]:
        raise Conflict(
            f"Job {job_id} is {row['state']}; only a {' or '.join(_FROM[verb])} job can be put to {verb!r}. "
            "It is untouched."
        )
    said = rows.text(message or _UNSAID[verb])
    connection.execute(
        f"UPDATE jobs SET {_CHANGE[verb]}, updated_at = gw_now() WHERE seq = :seq", {"seq": row["seq"], "message": said}
    )
    changed = rows.job(
        connection.execute(f"SELECT {rows.JOB_COLUMNS} FROM jobs WHERE seq = ?", (row["seq"],)).fetchone()
    )
    line = audit.Line(
        sweep=sweep,
        by=by,
        action=verb,
        queue=row["queue"],
        subject=job_id,
        outcome=Outcome.APPLIED,
        reason=OPERATOR,
        message=said,
        before=row["before"],
        after=(changed.state, changed.token),
    )
    audit.write(connection, [line])
    return changed
