"""One SQLite connection: how it is opened, and whether the file below it is still the same."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

Micros = Callable[[], int]
Identity = tuple[int, int]


def connect(path: Path, *, now: Micros, writes: bool, timeout: float, create: bool = False) -> sqlite3.Connection:
    """Open the file in autocommit mode. `now` is what `gw_now()` answers in SQL, in microseconds.

    The writer waits for locks by itself (see Writer), so that its wait can end with a caller's deadline.
    """
    mode = "rwc" if create else "rw"
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode={mode}",
        uri=True,
        timeout=timeout,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        _configure(connection, now, writes)
    except BaseException:
        connection.close()
        raise
    return connection


def _configure(connection: sqlite3.Connection, now: Micros, writes: bool) -> None:
    connection.row_factory = sqlite3.Row
    # Deterministic within a statement: the lane reads its clock once per transaction.
    connection.create_function("gw_now", 0, now, deterministic=True)
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute(f"PRAGMA cache_size = {-32_000 if writes else -8_000}")  # KiB, taken only as far as it is used
    if writes:
        # FULL: what was acknowledged survives a power cut. WAL again, because a restored backup may have left it.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
        connection.execute("PRAGMA wal_autocheckpoint = 8000")  # 32 MB: a mass of repairs checkpoints a few times only
        connection.execute("PRAGMA journal_size_limit = 67108864")
    else:
        connection.execute("PRAGMA query_only = ON")


def identity(path: Path) -> Identity | None:
    """Which file lies at the path now; None: none at all."""
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_dev, status.st_ino
