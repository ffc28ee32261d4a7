"""A thread that owns one SQLite connection and serves the calls of an event loop, each within its deadline."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from gradewatch.errors import StoreUnavailable
from gradewatch.stores.sqlite import faults
from gradewatch.stores.sqlite.connect import Identity, Micros, connect, identity

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

MAX_WAITING = 10_000  # calls; beyond that the disk does not keep up, and a queue would only hide it
REPORT_SECONDS = 0.25  # what the thread gets, after a deadline, to say why it was missed


class Op:
    """One call on its way to a lane's thread: run at most once, and never once its caller has gone."""

    __slots__ = ("_gone", "_lock", "_started", "deadline", "future", "loop", "work")

    def __init__(self, work: Work[Any], deadline: float) -> None:
        self.work = work
        self.deadline = deadline  # seconds of the monotonic clock
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()
        self._lock = threading.Lock()
        self._started = self._gone = False

    def start(self) -> bool:
        """False when the caller has gone or its deadline has passed: then it must not be run."""
        with self._lock:
            self._started = not self._gone and time.monotonic() < self.deadline
            return self._started

    def abandon(self) -> bool:
        """True when it had not started: then it never will."""
        with self._lock:
            self._gone = True
            return not self._started


@dataclass(slots=True)
class Answer:
    op: Op
    value: Any = None
    error: Exception | None = None

    def deliver(self) -> None:
        if self.op.future.done():  # the caller has gone
            return
        if self.error is not None:
            self.op.future.set_exception(self.error)
        else:
            self.op.future.set_result(self.value)


class Lane(ABC):
    """Base of Writer and Reader. Calls are served in order; at most MAX_WAITING wait."""

    writes: bool

    def __init__(self, path: Path, *, timeout: float, clock: Micros) -> None:
        self.path = path
        self.timeout = timeout
        self._clock = clock
        self._now = 0
        self._queue: queue.SimpleQueue[Op | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._connection: sqlite3.Connection | None = None
        self._identity: Identity | None = None

    async def run(self, work: Work[T]) -> T:
        """Run `work` in the lane's thread, in a transaction of its own or one shared with other calls.

        Raises what `work` raises, SQLite's errors as store errors, and StoreUnavailable at the deadline.
        """
        op = Op(work, time.monotonic() + self.timeout)
        self._enqueue(op)
        try:
            async with asyncio.timeout(self.timeout + REPORT_SECONDS):
                result: T = await op.future
                return result
        except TimeoutError:
            fate = "it was not begun and will not be" if op.abandon() else "whether it was done is not known"
            raise StoreUnavailable(f"{self.path} did not answer within {self.timeout:.1f} s: {fate}.") from None
        finally:
            op.abandon()

    async def close(self) -> None:
        """Serve what waits, then end the thread and close the connection."""
        self._closed = True
        if self._thread is not None:
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join, self.timeout)

    def _enqueue(self, op: Op) -> None:
        if self._closed:
            raise StoreUnavailable(f"{self.path} was closed by this process.")
        if self._queue.qsize() >= MAX_WAITING:
            raise StoreUnavailable(f"{MAX_WAITING} calls are waiting for {self.path}: its disk does not keep up.")
        if self._thread is None:
            name = f"sqlite-{type(self).__name__.lower()}"
            self._thread = threading.Thread(target=self._loop, name=name, daemon=True)
            self._thread.start()
        self._queue.put(op)

    # ---------------------------------------------------------------- in the lane's own thread

    def _loop(self) -> None:
        while (op := self._queue.get()) is not None:
            try:
                answers = self._serve(op)
            except sqlite3.Error as error:
                self._disconnect()
                answers = [Answer(op, error=self._translate(error))]
            except Exception as error:  # noqa: BLE001 - it is the caller's, and is raised there
                answers = [Answer(op, error=error)]
            _deliver(answers)
        self._disconnect()

    @abstractmethod
    def _serve(self, op: Op) -> list[Answer]: ...

    def _translate(self, error: sqlite3.Error) -> Exception:
        return faults.translate(error, self.path, self.timeout)

    def _connected(self) -> sqlite3.Connection:
        """The connection, to the file that lies at the path now. A write to a removed file would be lost unseen."""
        found = identity(self.path)
        if found is None:
            raise faults.absent(self.path) if self._identity is None else faults.gone(self.path)
        if self._connection is not None and found != self._identity:
            self._disconnect()
            raise faults.replaced(self.path)
        if self._connection is None:
            self._connection = connect(self.path, now=lambda: self._now, writes=self.writes, timeout=self.timeout)
            self._identity = found
            self._prepare(self._connection)
        return self._connection

    @abstractmethod
    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Settings of a new connection that only this kind of lane has."""

    def _read_clock(self) -> None:
        self._now = self._clock()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _deliver(answers: Iterable[Answer]) -> None:
    by_loop: defaultdict[asyncio.AbstractEventLoop, list[Answer]] = defaultdict(list)
    for answer in answers:
        by_loop[answer.op.loop].append(answer)
    for loop, batch in by_loop.items():
        # A closed loop has nobody left who could be told.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_deliver_here, batch)


def _deliver_here(batch: list[Answer]) -> None:
    for answer in batch:
        answer.deliver()
