"""Retention: old rows go in small batches."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from gradewatch.stores.sqlite import rows
from gradewatch.stores.sqlite.control import CREDIT_DAYS, DAY

_DELETE = {
    "jobs": "DELETE FROM jobs WHERE seq IN "
    "(SELECT seq FROM jobs WHERE finished_at IS NOT NULL AND finished_at < gw_now() - :age LIMIT :limit)",
    "sessions": "DELETE FROM sessions WHERE id IN "
    "(SELECT id FROM sessions WHERE ended_at IS NOT NULL AND ended_at < gw_now() - :age LIMIT :limit)",
    # The trail is written in order of time, so that its oldest entries are its first: no index on the time is needed.
    "audit": "DELETE FROM audit WHERE at < gw_now() - :age AND id IN (SELECT id FROM audit ORDER BY id LIMIT :limit)",
    "pages": "DELETE FROM pages WHERE key IN (SELECT key FROM pages WHERE at < gw_now() - :age LIMIT :limit)",
    "spending": "DELETE FROM spending WHERE scope IN "
    "(SELECT scope FROM spending WHERE at < gw_now() - :age LIMIT :limit)",
}


def delete_old(connection: sqlite3.Connection, table: str, age: int, limit: int) -> int:
    """Delete up to `limit` rows of `table` older than `age` microseconds; a job's papers go with it."""
    return connection.execute(_DELETE[table], {"age": age, "limit": limit}).rowcount


def delete_credits(connection: sqlite3.Connection) -> None:
    """Credits and pauses so old that no job's wait can reach back to them."""
    span = (CREDIT_DAYS * DAY,)
    connection.execute("DELETE FROM credits WHERE end_at < gw_now() - ?", span)
    ended = "min(coalesce(resumed_at, until), coalesce(until, resumed_at))"
    connection.execute(f"DELETE FROM pauses WHERE {ended} < gw_now() - ?", span)


def unreferenced(connection: sqlite3.Connection, hashes: Sequence[str]) -> set[str]:
    """Of these papers, by SHA-256, those that no job refers to."""
    found = connection.execute(
        "SELECT value FROM json_each(?) WHERE value NOT IN (SELECT sha256 FROM paper_refs)", (rows.dump_list(hashes),)
    )
    return {row[0] for row in found}
