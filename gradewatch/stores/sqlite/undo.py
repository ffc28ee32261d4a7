"""Putting back what a sweep changed, where it is still as the sweep left it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from gradewatch.model import AuditEntry, Outcome
from gradewatch.stores.sqlite import audit, rows

_NEXT = """
SELECT * FROM audit WHERE sweep = :sweep AND id < :before AND outcome = 'applied' AND action <> 'undo'
  AND undone_at IS NULL AND after_state IS NOT NULL
ORDER BY id DESC LIMIT :limit
"""
# updated_at is the time of the repair itself only while nothing else has touched the row.
_PUT_BACK = """
UPDATE jobs SET state = :state, attempt = :attempt, lost = :lost, run_alone = :run_alone, session_id = NULL,
  run_at = iif(:state = 'pending', gw_now(), :run_at), started_at = :started_at, finished_at = :finished_at,
  updated_at = gw_now(), result = :result, error_code = :error_code, error_message = :error_message
WHERE id = :subject AND state = :after_state AND token = :after_token AND updated_at = :at
"""


def undo(connection: sqlite3.Connection, sweep: str, by: str, before: int, limit: int) -> list[tuple[AuditEntry, bool]]:
    """Undo up to `limit` entries of the sweep with ids under `before`, the newest first."""
    found = connection.execute(_NEXT, {"sweep": rows.text(sweep), "before": before, "limit": limit}).fetchall()
    return [_undo_one(connection, row, by) for row in found]


def _undo_one(connection: sqlite3.Connection, row: sqlite3.Row, by: str) -> tuple[AuditEntry, bool]:
    guard = {name: row[name] for name in ("subject", "after_state", "after_token", "at")}
    done = connection.execute(_PUT_BACK, {**_restored(json.loads(row["before"])), **guard}).rowcount == 1
    if done:
        connection.execute("UPDATE audit SET undone_at = gw_now() WHERE id = ?", (row["id"],))
    entry = connection.execute("SELECT * FROM audit WHERE id = ?", (row["id"],)).fetchone()
    line = audit.Line(
        sweep=row["sweep"],
        by=by,
        action="undo",
        queue=row["queue"],
        subject=row["subject"],
        outcome=Outcome.APPLIED if done else Outcome.NOOP,
        reason=row["reason"],
        message=f"undid {row['action']}" if done else f"the job is no longer as the {row['action']} left it",
    )
    audit.write(connection, [line])
    return rows.audit_entry(entry), done


def _restored(before: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row to write. A job that was running comes back as pending, that attempt given back: its worker was told
    to stop."""
    if before["state"] != "running":
        return before
    return {**before, "state": "pending", "attempt": before["attempt"] - 1, "started_at": None}
