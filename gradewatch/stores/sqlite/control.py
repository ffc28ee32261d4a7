"""What the watch must remember over its own restarts: pauses, credits, restarts, spent budgets; and leases."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from datetime import datetime

from gradewatch.model import ActionKind, ControlFacts, Credit, LeaseGrant, Pause
from gradewatch.stores.sqlite import rows
from gradewatch.stores.sqlite.ids import now

DAY = 86_400 * 1_000_000
CREDIT_DAYS = 2  # how far back anybody could still be blamed for waiting
MOST_CREDITS = 1000
MOST_RESTARTS = 100

_ACTIVE = "resumed_at IS NULL AND (until IS NULL OR until > gw_now())"
_CREDITS = """
SELECT kind, start_at, end_at FROM (
  SELECT kind, start_at, end_at FROM credits
  UNION ALL
  SELECT 'pause', started_at, min(coalesce(until, gw_now()), coalesce(resumed_at, gw_now()), gw_now()) FROM pauses
) WHERE end_at > gw_now() - :span AND end_at > start_at ORDER BY end_at DESC LIMIT :limit
"""
_RESTARTS = """
SELECT id, subject, queue, at, outcome, verified FROM audit
WHERE at > gw_now() - :day AND action = 'restart' AND outcome IN ('applied', 'failed')
ORDER BY at DESC, id DESC LIMIT :limit
"""
# The queues are found by skipping from one to the next in the index, so that nothing has to be sorted.
_BUDGET = "action = :action AND outcome = 'applied' AND reason <> 'operator'"
_SPENT = f"""
WITH RECURSIVE queues (name) AS (
  SELECT min(queue) FROM audit WHERE {_BUDGET}
  UNION ALL
  SELECT (SELECT min(queue) FROM audit WHERE {_BUDGET} AND queue > name) FROM queues WHERE name IS NOT NULL
)
SELECT name, (SELECT count(*) FROM audit WHERE {_BUDGET} AND queue = name AND at > gw_now() - :window) AS spent
FROM queues WHERE name IS NOT NULL
"""


def control(connection: sqlite3.Connection, windows: Mapping[ActionKind, float]) -> ControlFacts:
    spent = {
        (action, row[0]): row[1]
        for action, window in windows.items()
        for row in connection.execute(_SPENT, {"action": action.value, "window": rows.micros(window)})
        if row[1]
    }
    credits = connection.execute(_CREDITS, {"span": CREDIT_DAYS * DAY, "limit": MOST_CREDITS}).fetchall()
    restarts = connection.execute(_RESTARTS, {"day": DAY, "limit": MOST_RESTARTS}).fetchall()
    return ControlFacts(
        now=rows.from_micros(now(connection)),
        pause=_active(connection),
        resumed_at=_resumed_at(connection),
        credits=tuple(
            Credit(row["kind"], rows.from_micros(row["start_at"]), rows.from_micros(row["end_at"]))
            for row in reversed(credits)
        ),
        restarts=rows.restarts(restarts),
        spent=spent,
    )


def _active(connection: sqlite3.Connection) -> Pause | None:
    row = connection.execute(f"SELECT * FROM pauses WHERE {_ACTIVE} ORDER BY id DESC LIMIT 1").fetchone()
    return rows.pause(row) if row else None


def _resumed_at(connection: sqlite3.Connection) -> datetime | None:
    row = connection.execute("SELECT value FROM meta WHERE key = 'resumed_at'").fetchone()
    return rows.from_micros(int(row["value"])) if row else None


def pause(connection: sqlite3.Connection, seconds: float | None, by: str, reason: str) -> Pause:
    """A pause takes the place of the one that is on."""
    _end_pause(connection, by)
    length = None if seconds is None else rows.micros(seconds)
    row = connection.execute(
        "INSERT INTO pauses (started_at, until, by, reason) VALUES (gw_now(), gw_now() + ?, ?, ?) RETURNING *",
        (length, rows.text(by), rows.text(reason)),
    ).fetchone()
    return rows.pause(row)


def resume(connection: sqlite3.Connection, by: str) -> bool:
    """The time is kept even when nothing was paused: a resume also forgives the restarts that did not help."""
    connection.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('resumed_at', gw_now())")
    return _end_pause(connection, by)


def _end_pause(connection: sqlite3.Connection, by: str) -> bool:
    changed = connection.execute(
        f"UPDATE pauses SET resumed_at = gw_now(), resumed_by = ? WHERE {_ACTIVE}", (rows.text(by),)
    ).rowcount
    return changed > 0


def add_credit(connection: sqlite3.Connection, credit: Credit) -> None:
    """Two watches that saw the same outage credit it once."""
    connection.execute(
        "INSERT OR IGNORE INTO credits (kind, start_at, end_at) VALUES (?, ?, ?)",
        (credit.kind, rows.to_micros(credit.start), rows.to_micros(credit.end)),
    )


_ACQUIRE = """
INSERT INTO leases (name, holder, term, ttl, expires_at) VALUES (:name, :holder, 1, :ttl, gw_now() + :ttl)
ON CONFLICT (name) DO UPDATE SET
  term = term + (holder <> excluded.holder), holder = excluded.holder, ttl = excluded.ttl,
  expires_at = excluded.expires_at
WHERE holder = excluded.holder OR expires_at <= gw_now()
RETURNING term
"""


def acquire(connection: sqlite3.Connection, name: str, holder: str, ttl: float) -> LeaseGrant | None:
    row = connection.execute(_ACQUIRE, {"name": name, "holder": holder, "ttl": rows.micros(ttl)}).fetchone()
    if row is not None:
        return LeaseGrant(name, holder, row["term"], ttl)
    # After the clock was stepped back, a dead holder's lease must not outlive its own length from now.
    connection.execute("UPDATE leases SET expires_at = min(expires_at, gw_now() + ttl) WHERE name = ?", (name,))
    return None


def release(connection: sqlite3.Connection, name: str, holder: str) -> None:
    connection.execute("UPDATE leases SET holder = '', expires_at = 0 WHERE name = ? AND holder = ?", (name, holder))
