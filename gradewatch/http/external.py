"""Beats of workers that Gradewatch does not run: each name has a session in the store, opened by its first beat."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gradewatch.http.problems import Problem, invalid
from gradewatch.http.shared import Shared
from gradewatch.model import NewSession, Session
from gradewatch.ports import Store

MAX_WORKERS = 1000
FORGET_AFTER = 600.0  # seconds without a beat
NO_PID = 0  # tells our sessions from those of real worker processes


@dataclass
class _Worker:
    """What is remembered of one name. Its lock keeps two first beats from opening two sessions."""

    heard: float
    session: str = ""
    queue: str = ""
    slots: int = 1
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class ExternalWorkers:
    """Opens, reuses and beats the sessions of external workers; remembers at most MAX_WORKERS of them."""

    def __init__(self, store: Store, queues: Sequence[str], *, mono: Callable[[], float] = time.monotonic) -> None:
        self._store, self._queues, self._mono = store, tuple(queues), mono
        self._workers: dict[str, _Worker] = {}
        self._sessions = Shared(store.sessions, ttl=1.0, deadline=5.0, mono=mono)

    async def beat(
        self, name: str, *, queue: str, slots: int | None, busy: int, host: str, loop_age: float = 0.0, end: str = ""
    ) -> str:
        """One beat; returns the session's id. What is not said (queue "", slots None) stays as it was. `end`: it is
        the last one, and why.

        Raises Problem 400 for a queue that is not watched, 429 for one name too many, and what the store raises.
        """
        if queue and queue not in self._queues:
            raise invalid(f"the queue {queue!r} is not watched", f"watched: {', '.join(self._queues[:10])}")
        worker = self._remember(name)
        async with worker.lock:
            await self._settle(worker, name, queue, slots, host)
            reply = await self._store.beat(worker.session, loop_age=loop_age, busy=busy)
            if not reply.session_open:
                worker.session = await self._open(worker, name, host)
                await self._store.beat(worker.session, loop_age=loop_age, busy=busy)
            session = worker.session
            if end:
                await self._store.end_session(session, end)
                worker.session = ""
            return session

    async def close(self) -> None:
        await self._sessions.close()

    def _remember(self, name: str) -> _Worker:
        now = self._mono()
        if name not in self._workers and len(self._workers) >= MAX_WORKERS:
            self._workers = {n: w for n, w in self._workers.items() if now - w.heard < FORGET_AFTER}
            if len(self._workers) >= MAX_WORKERS:
                raise Problem(
                    429,
                    "too_many_workers",
                    f"{MAX_WORKERS} external workers beat already, which is the most",
                    fix="give each worker one lasting name instead of a new one for each start",
                    headers={"Retry-After": str(int(FORGET_AFTER))},
                )
        worker = self._workers.setdefault(name, _Worker(now))
        worker.heard = now
        return worker

    async def _settle(self, worker: _Worker, name: str, queue: str, slots: int | None, host: str) -> None:
        """Have a session that says what the worker says of itself now."""
        if not worker.session:
            found = await self._find(name)
            worker.session = found.id if found else ""
            worker.queue = found.queues[0] if found and found.queues else self._queues[0]
            worker.slots = found.slots if found else 1
        wanted = (queue or worker.queue, slots or worker.slots)
        if worker.session and wanted != (worker.queue, worker.slots):
            await self._store.end_session(worker.session, "the worker changed its queue or slots")
            worker.session = ""
        worker.queue, worker.slots = wanted
        if not worker.session:
            worker.session = await self._open(worker, name, host)

    async def _find(self, name: str) -> Session | None:
        """An open session of that name from before this process started."""
        for session in await self._sessions.get():
            if session.name == name and session.pid == NO_PID and session.ended_at is None:
                return session
        return None

    async def _open(self, worker: _Worker, name: str, host: str) -> str:
        return await self._store.open_session(
            NewSession(name=name, queues=(worker.queue,), slots=worker.slots, host=host, pid=NO_PID, version="external")
        )
