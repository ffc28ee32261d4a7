"""The writing lane: one thread, one transaction for all the writes that wait (group commit)."""

from __future__ import annotations

import queue
import random
import sqlite3
import time

from gradewatch.stores.sqlite import faults
from gradewatch.stores.sqlite.lane import Answer, Lane, Op

GROUP_SECONDS = 0.05  # no new write joins a transaction older than this
PAUSE_AFTER = 0.01  # a transaction that held the lock this long leaves other processes a gap
PAUSE_SECONDS = 0.001


class Writer(Lane):
    """Each write runs under a savepoint, so that its failure leaves the others of its group untouched, and is
    answered only after the commit."""

    writes = True

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA busy_timeout = 0")

    def _serve(self, op: Op) -> list[Answer]:
        connection = self._connected()
        self._take_lock(connection, op)
        self._read_clock()
        began = time.monotonic()
        answers: list[Answer] = []
        try:
            self._run_group(connection, op, began + GROUP_SECONDS, answers)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._disconnect()  # closing rolls back: nothing of this group was written
            fault = self._translate(error)
            return [Answer(answer.op, error=answer.error or fault) for answer in answers]
        if time.monotonic() - began > PAUSE_AFTER:
            time.sleep(PAUSE_SECONDS)
        return answers

    def _take_lock(self, connection: sqlite3.Connection, op: Op) -> None:
        """Begin a write transaction, waiting for other processes no longer than the op's deadline."""
        nap = 0.0005
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
                if time.monotonic() + nap > op.deadline:
                    raise faults.locked(self.path, self.timeout) from error
            time.sleep(nap * random.uniform(0.5, 1.0))
            nap = min(nap * 1.5, 0.008)

    def _run_group(self, connection: sqlite3.Connection, first: Op, until: float, answers: list[Answer]) -> None:
        op: Op | None = first
        while op is not None:
            if op.start():
                answers.append(answer := Answer(op))
                self._run_one(connection, answer)
            op = self._waiting() if time.monotonic() < until else None

    def _run_one(self, connection: sqlite3.Connection, answer: Answer) -> None:
        connection.execute("SAVEPOINT op")
        try:
            answer.value = answer.op.work(connection)
        except Exception as error:
            if not connection.in_transaction:
                raise  # a fault so grave that SQLite rolled back the whole group
            answer.error = self._translate(error) if isinstance(error, sqlite3.Error) else error
            connection.execute("ROLLBACK TO op")
        connection.execute("RELEASE op")

    def _waiting(self) -> Op | None:
        try:
            op = self._queue.get_nowait()
        except queue.Empty:
            return None
        if op is None:
            self._queue.put(None)  # the end is for the outer loop to see
        return op
