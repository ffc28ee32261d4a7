"""`python -m benchmarks.lock_prober FILE`: how long was a SQLite file's write lock taken, each time it was?

Asks for the lock over and over without waiting, until standard input is closed; then prints a JSON list of
milliseconds. Each is counted from the last success before a refusal to the next success: an upper bound of the hold.
"""

from __future__ import annotations

import json
import select
import sqlite3
import sys
import time

GAP = 0.0005  # seconds between two attempts


def main(file: str) -> None:
    connection = sqlite3.connect(file, timeout=0, isolation_level=None)
    holds: list[float] = []
    free, refused = time.perf_counter(), False
    while not select.select([sys.stdin], [], [], GAP)[0]:
        if not _try(connection):
            refused = True
            continue
        now = time.perf_counter()
        if refused:
            holds.append((now - free) * 1000)
        free, refused = now, False
    print(json.dumps(holds))


def _try(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        return False
    connection.execute("ROLLBACK")
    return True


if __name__ == "__main__":
    main(sys.argv[1])
