"""The audit trail: what was decided, what came of it, and the row as it was before."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from gradewatch.errors import Conflict
from gradewatch.model import Action, AuditEntry, Outcome
from gradewatch.stores.sqlite import rows
from gradewatch.stores.sqlite.reads import PAGE

_WRITE = """
INSERT INTO audit (sweep, at, by, action, queue, subject, outcome, reason, message, before, after_state, after_token)
VALUES (?, gw_now(), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


@dataclass(frozen=True, slots=True)
class Line:
    """An entry to be written. `before` is rows.BEFORE_SQL of the job; `after` the (state, token) the change left."""

    sweep: str
    by: str
    action: str
    queue: str
    subject: str
    outcome: Outcome
    reason: str
    message: str
    before: str | None = None
    after: tuple[str, int] | None = None

    def parameters(self) -> tuple[Any, ...]:
        words = (self.sweep, rows.text(self.by), self.action, self.queue, self.subject, self.outcome, self.reason)
        return (*words, rows.text(self.message), self.before, *(self.after or (None, None)))


def write(connection: sqlite3.Connection, lines: Iterable[Line]) -> None:
    connection.executemany(_WRITE, (line.parameters() for line in lines))


class RepairLine(NamedTuple):
    """An entry of a repair that is about to be made: `seq` is the job's, None where there is none any more; it is
    left in `after_state` with `after_token`, both None where it stays as it is."""

    action: str
    queue: str
    subject: str
    outcome: Outcome
    reason: str
    message: str
    seq: int | None
    after_state: str | None
    after_token: int | None


_WRITE_REPAIRS = f"""
INSERT INTO audit (sweep, at, by, action, queue, subject, outcome, reason, message, before, after_state, after_token)
SELECT :sweep, gw_now(), :by, {", ".join(f"json_extract(line.value, '$[{n}]')" for n in range(6))},
  (SELECT {rows.BEFORE_SQL} FROM jobs WHERE seq = json_extract(line.value, '$[6]')),
  json_extract(line.value, '$[7]'), json_extract(line.value, '$[8]')
FROM json_each(:lines) AS line
"""


def write_repairs(connection: sqlite3.Connection, sweep: str, by: str, lines: Sequence[RepairLine]) -> None:
    """To be called before the rows are changed: they are kept as they are now."""
    connection.execute(_WRITE_REPAIRS, {"sweep": sweep, "by": rows.text(by), "lines": rows.dump(lines)})


def record(connection: sqlite3.Connection, action: Action, outcome: Outcome, sweep: str, by: str, detail: str) -> int:
    line = Line(
        sweep=sweep,
        by=by,
        action=action.kind.value,
        queue=action.queue,
        subject=action.subject,
        outcome=outcome,
        reason=action.reason.value,
        message=with_detail(action.message, detail),
    )
    return connection.execute(_WRITE, line.parameters()).lastrowid or 0


def with_detail(message: str, detail: str) -> str:
    return f"{message} ({detail})" if detail else message


def amend(connection: sqlite3.Connection, audit_id: int, outcome: Outcome | None, verified: bool | None) -> None:
    changed = connection.execute(
        "UPDATE audit SET outcome = coalesce(?, outcome), verified = coalesce(?, verified) WHERE id = ?",
        (outcome.value if outcome else None, verified, audit_id),
    ).rowcount
    if not changed:
        raise Conflict(f"There is no audit entry {audit_id}: it may have been purged.")


def entries(
    connection: sqlite3.Connection, limit: int, sweep: str | None, subject: str | None, before: int | None
) -> list[AuditEntry]:
    words = {"sweep = ?": sweep, "subject = ?": subject}
    given: dict[str, Any] = {clause: rows.text(word) for clause, word in words.items() if word is not None}
    if before is not None:
        given["id < ?"] = max(0, min(before, rows.LARGEST))
    where = f"WHERE {' AND '.join(given)}" if given else ""
    found = connection.execute(
        f"SELECT * FROM audit {where} ORDER BY id DESC LIMIT ?", (*given.values(), max(0, min(limit, PAGE)))
    )
    return [rows.audit_entry(row) for row in found]
