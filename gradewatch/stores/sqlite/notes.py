"""The port RowNotes: the audit trail of rows that another application owns."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Sequence

from gradewatch.model import NotedRepair, Outcome, RowNote
from gradewatch.stores.sqlite import audit, rows
from gradewatch.stores.sqlite.reader import Reader
from gradewatch.stores.sqlite.writer import Writer

_NOTE = "INSERT INTO row_notes (audit_id, queue, subject, at, before, after) VALUES (?, ?, ?, gw_now(), ?, ?)"
_NOTED = """
SELECT a.id, a.sweep, a.at, a.action, a.queue, a.subject, a.outcome, a.reason, a.message, a.undone_at,
  n.before, n.after
FROM row_notes AS n JOIN audit AS a ON a.id = n.audit_id WHERE n.queue = :queue {more}
ORDER BY n.audit_id DESC LIMIT :limit
"""


class RowNoteLog:
    """The port over the store's two lanes."""

    _writer: Writer
    _reader: Reader

    async def note_repairs(self, notes: Sequence[RowNote], *, sweep: str, by: str) -> list[int]:
        return await self._writer.run(lambda c: note_repairs(c, notes, sweep, by)) if notes else []

    async def unnote(self, ids: Sequence[int]) -> None:
        if ids:
            await self._writer.run(lambda c: unnote(c, ids))

    async def noted(
        self,
        queue: str,
        *,
        subjects: Collection[str] | None = None,
        sweep: str | None = None,
        within: float | None = None,
        limit: int = 1000,
    ) -> list[NotedRepair]:
        return await self._reader.run(lambda c: noted(c, queue, subjects, sweep, within, limit))

    async def note_undone(self, ids: Sequence[int], *, by: str) -> None:
        if ids:
            await self._writer.run(lambda c: note_undone(c, ids, by))


def note_repairs(connection: sqlite3.Connection, notes: Sequence[RowNote], sweep: str, by: str) -> list[int]:
    ids = []
    for note in notes:
        line = audit.Line(
            sweep=rows.text(sweep),
            by=by,
            action=note.action,
            queue=note.queue,
            subject=rows.text(note.subject),
            outcome=note.outcome,
            reason=note.reason,
            message=note.message,
        )
        audit.write(connection, [line])
        made: int = connection.execute("SELECT last_insert_rowid()").fetchone()[0]
        connection.execute(
            _NOTE,
            (made, note.queue, rows.text(note.subject), rows.dump(dict(note.before)), rows.dump(dict(note.after))),
        )
        ids.append(made)
    return ids


def unnote(connection: sqlite3.Connection, ids: Sequence[int]) -> None:
    listed = (rows.dump_list(ids),)
    connection.execute("UPDATE audit SET outcome = 'noop' WHERE id IN (SELECT value FROM json_each(?))", listed)
    connection.execute("DELETE FROM row_notes WHERE audit_id IN (SELECT value FROM json_each(?))", listed)


def noted(
    connection: sqlite3.Connection,
    queue: str,
    subjects: Collection[str] | None,
    sweep: str | None,
    within: float | None,
    limit: int,
) -> list[NotedRepair]:
    given: dict[str, object] = {"queue": queue, "limit": max(0, min(limit, 10_000))}
    more = ""
    if subjects is not None:
        more += " AND n.subject IN (SELECT value FROM json_each(:subjects))"
        given["subjects"] = rows.dump_list(rows.text(subject) for subject in subjects)
    if sweep is not None:
        more += " AND a.sweep = :sweep"
        given["sweep"] = rows.text(sweep)
    if within is not None:
        more += " AND n.at > gw_now() - :within"
        given["within"] = rows.micros(within)
    return [_noted(row) for row in connection.execute(_NOTED.format(more=more), given)]


def _noted(row: sqlite3.Row) -> NotedRepair:
    note = RowNote(
        action=row["action"],
        queue=row["queue"],
        subject=row["subject"],
        reason=row["reason"],
        message=row["message"],
        before=json.loads(row["before"]),
        after=json.loads(row["after"]),
        outcome=Outcome(row["outcome"]),
    )
    undone = None if row["undone_at"] is None else rows.from_micros(row["undone_at"])
    return NotedRepair(row["id"], row["sweep"], rows.from_micros(row["at"]), note, undone)


def note_undone(connection: sqlite3.Connection, ids: Sequence[int], by: str) -> None:
    found = connection.execute(
        "SELECT * FROM audit WHERE undone_at IS NULL AND id IN (SELECT value FROM json_each(?))", (rows.dump_list(ids),)
    ).fetchall()
    for row in found:
        connection.execute("UPDATE audit SET undone_at = gw_now() WHERE id = ?", (row["id"],))
        line = audit.Line(
            sweep=row["sweep"],
            by=by,
            action="undo",
            queue=row["queue"],
            subject=row["subject"],
            outcome=Outcome.APPLIED,
            reason=row["reason"],
            message=f"undid {row['action']}",
        )
        audit.write(connection, [line])
