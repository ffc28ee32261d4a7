"""Ids that the store makes, and the store's time in Python."""

from __future__ import annotations

import secrets
import sqlite3


def make_ids(now: int, count: int) -> list[str]:
    """Ids that sort by time, and within one batch by position: 14 hex digits of microseconds, 12 of chance."""
    start = secrets.randbits(47)
    return [f"{now:014x}{start + position:012x}" for position in range(count)]


def now(connection: sqlite3.Connection) -> int:
    value: int = connection.execute("SELECT gw_now()").fetchone()[0]
    return value
