"""The reading lane: a connection that cannot write, on its own thread, so that reads never wait for writes."""

from __future__ import annotations

import sqlite3
import time

from gradewatch.stores.sqlite.lane import Answer, Lane, Op

STEPS = 20_000  # SQLite's virtual machine steps between two looks at the deadline: well under 1 ms


class Reader(Lane):
    """Each read sees one state of the database, at one time of the store's clock, and is broken off at its deadline."""

    writes = False

    def _prepare(self, connection: sqlite3.Connection) -> None:
        self._deadline = 0.0
        connection.set_progress_handler(lambda: time.monotonic() > self._deadline, STEPS)

    def _serve(self, op: Op) -> list[Answer]:
        connection = self._connected()
        if not op.start():
            return []
        self._deadline = op.deadline
        self._read_clock()
        connection.execute("BEGIN")
        try:
            return [Answer(op, op.work(connection))]
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
