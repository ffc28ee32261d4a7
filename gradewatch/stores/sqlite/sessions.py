"""Worker sessions: opened, kept alive by beats, ended once."""

from __future__ import annotations

import sqlite3

from gradewatch.model import BeatReply, Claimed, NewSession, Session
from gradewatch.stores.sqlite import rows
from gradewatch.stores.sqlite.ids import make_ids, now

ENDED_SHOWN = 300 * 1_000_000  # microseconds that an ended session is still listed

_OPEN = """
INSERT INTO sessions (id, name, queues, slots, host, pid, version, target, incarnation, http, started_at, beat_at)
VALUES (:id, :name, :queues, :slots, :host, :pid, :version, :target, :incarnation, :http, gw_now(), gw_now())
"""


def open_session(connection: sqlite3.Connection, new: NewSession) -> str:
    session_id = make_ids(now(connection), 1)[0]
    words = ("name", "host", "version", "target", "incarnation", "http")
    parameters = {
        "id": session_id,
        "queues": rows.dump(new.queues),
        "slots": new.slots,
        "pid": new.pid,
        **{word: rows.text(getattr(new, word)) for word in words},
    }
    connection.execute(_OPEN, parameters)
    connection.executemany(
        "INSERT OR IGNORE INTO served_queues (queue, first_at) VALUES (?, gw_now())",
        [(rows.text(queue),) for queue in new.queues],
    )
    return session_id


def beat(connection: sqlite3.Connection, session_id: str, loop_age: float, busy: int) -> BeatReply:
    """The claims are read in the beat's own transaction, so that a claim taken away is never reported as held."""
    alive = connection.execute(
        "UPDATE sessions SET beats = beats + 1, beat_at = gw_now(), loop_age = ?, busy = ? "
        "WHERE id = ? AND ended_at IS NULL",
        (loop_age, busy, session_id),
    ).rowcount
    if not alive:
        return BeatReply(session_open=False, held=frozenset())
    held = connection.execute("SELECT id, token FROM jobs WHERE state = 'running' AND session_id = ?", (session_id,))
    return BeatReply(session_open=True, held=frozenset(Claimed(row["id"], row["token"]) for row in held))


def end_session(connection: sqlite3.Connection, session_id: str, reason: str, beats: int | None) -> bool:
    changed = connection.execute(
        "UPDATE sessions SET ended_at = gw_now(), end_reason = :reason, busy = 0 "
        "WHERE id = :id AND ended_at IS NULL AND (:beats IS NULL OR beats = :beats)",
        {"id": session_id, "reason": rows.text(reason), "beats": beats},
    ).rowcount
    return changed == 1


def sessions(connection: sqlite3.Connection) -> list[Session]:
    found = connection.execute(
        f"SELECT {rows.SESSION_COLUMNS} FROM sessions WHERE ended_at IS NULL UNION ALL "
        f"SELECT {rows.SESSION_COLUMNS} FROM sessions WHERE ended_at > gw_now() - ? ORDER BY started_at, id",
        (ENDED_SHOWN,),
    )
    return [rows.session(row) for row in found]
