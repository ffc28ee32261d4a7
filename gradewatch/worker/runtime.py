"""The worker: holds a session, claims jobs into its slots, runs them, and lets go of every one of them.

Everything runs in one event loop; the independent heartbeat alone has a thread of its own.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
from collections.abc import Awaitable, Mapping, Sequence
from typing import Protocol

import structlog

from gradewatch.config import WorkerSettings
from gradewatch.errors import Conflict, StoreError
from gradewatch.model import Claimed, NewSession
from gradewatch.ports import OpenStore, Sessions
from gradewatch.worker.context import Handler
from gradewatch.worker.crash import crashed
from gradewatch.worker.fenced import JobStore
from gradewatch.worker.membership import Membership
from gradewatch.worker.observer import Observer
from gradewatch.worker.outage import Outage
from gradewatch.worker.pool import Pool
from gradewatch.worker.wakeup import Wakeup

log = structlog.get_logger(__name__)

PULSE = 0.5  # seconds between two stamps of the event loop's pulse
SOURCE = "jobs"
MOST = 256  # jobs claimed at once: no claim takes long, and while one is made the jobs of the one before it run

# What a stop may take beyond the drain, whatever the store does: 4.5 s in all.
STOP_JOBS, STOP_WRITES, STOP_SESSION, STOP_HEARTBEAT = 1.5, 1.5, 1.0, 0.5


class WorkerStore(JobStore, Sessions, Protocol):
    """The part of a store a worker needs."""


class Worker:
    """One worker process. `run` it once; `request_drain` ends it.

    `heartbeat_timeout` is in seconds. `open_store` opens the heartbeat's own handle, in the heartbeat's thread.
    `target` and `incarnation` say which place on which platform this process fills. The jobs claimed are those of
    `queues` whose kind has a handler; all others are left alone. `serves` is what the session says of its queues, where
    that is not what it claims from.
    """

    def __init__(
        self,
        store: WorkerStore,
        open_store: OpenStore,
        *,
        name: str,
        queues: Sequence[str],
        handlers: Mapping[str, Handler],
        settings: WorkerSettings,
        heartbeat_timeout: float,
        version: str,
        http_url: str = "",
        target: str = "",
        incarnation: str = "",
        observer: Observer | None = None,
        rng: random.Random | None = None,
        serves: Sequence[str] | None = None,
    ) -> None:
        rng, observer = rng or random.Random(), observer or Observer()
        self._store = store
        self._queues = tuple(queues)
        self._kinds = frozenset(handlers)
        self._settings = settings
        self._drain, self._cut = asyncio.Event(), asyncio.Event()
        self._fault: BaseException | None = None
        self._outage = Outage(rng)
        self._wakeup = Wakeup(store, poll=settings.poll, rng=rng)
        wake = self._wakeup.call
        self._pool = Pool(store, handlers, settings, self._outage, rng=rng, observer=observer, freed=wake)
        new = NewSession(
            name=name,
            queues=self._queues if serves is None else tuple(serves),
            slots=settings.slots,
            host=socket.gethostname(),
            pid=os.getpid(),
            version=version,
            target=target,
            incarnation=incarnation,
            http=http_url,
        )
        self._membership = Membership(
            store,
            open_store,
            new,
            self._pool,
            self._outage,
            timeout=heartbeat_timeout,
            wake=wake,
            observer=observer,
            rng=rng,
        )

    @property
    def slots(self) -> int:
        return self._settings.slots

    @property
    def busy(self) -> int:
        return len(self._pool.slots)

    @property
    def last_tick_mono(self) -> float:
        """When this worker's event loop last ran, by the monotonic clock."""
        return self._membership.pulse.at

    @property
    def store_reachable(self) -> bool:
        """False while an outage lasts: for /readyz."""
        return not self._outage.ongoing

    @property
    def session_id(self) -> str | None:
        return self._membership.id

    def request_drain(self) -> None:
        """Stop claiming, give running jobs `settings.drain` seconds, then give them back. Asked again: at once.

        To be called in the worker's event loop, as signal handlers are.
        """
        if self._drain.is_set():
            self._cut.set()
        self._drain.set()
        self._wakeup.call()

    async def run(self) -> None:
        """Work until drained. Outlasts any outage of the store; raises only on a fault of this program."""
        async with asyncio.TaskGroup() as group:
            parts = (self._pulse(), self._pool.completer.run())
            background = [group.create_task(self._noted(part)) for part in parts]
            serve = group.create_task(self._noted(self._serve()))
            try:
                await self._drain.wait()
                await self._let_finish(serve)
            finally:
                try:
                    await self._close_out(serve)
                finally:
                    self._membership.fall_silent()
                    for task in background:
                        task.cancel()

    async def _noted(self, part: Awaitable[None]) -> None:
        """Remember what a part raised: the session's end says so."""
        try:
            await part
        except Exception as error:
            self._fault = self._fault or error
            raise

    async def _pulse(self) -> None:
        while True:
            self._membership.pulse.stamp()
            self._membership.keep_beating()
            await asyncio.sleep(PULSE)

    # ---- claiming

    async def _serve(self) -> None:
        failures = 0
        while not self._drain.is_set():
            self._wakeup.reset()
            try:
                await self._step()
                failures = 0
            except StoreError as error:
                failures += 1
                self._outage.failed(SOURCE, error)
                await self._pause(self._outage.delay(failures, error))

    async def _step(self) -> None:
        """Fill the free slots, or wait for what comes first: a free slot, a change in the store, time to look."""
        session_id = self._membership.id or await self._membership.open()
        room = min(self._pool.room, MOST) if self._membership.may_claim() else 0
        if room == 0:
            await self._wakeup.sleep()
            return
        seen = await self._wakeup.look()
        claimed = await self._claim(session_id, room)
        self._outage.answered(SOURCE)
        if claimed < room:
            await self._wakeup.wait(seen)

    async def _claim(self, session_id: str, room: int) -> int:
        orphans = self._membership.orphans
        orphans.claim_begins()
        try:
            jobs = await self._store.claim(session_id, self._queues, self._kinds, room)
        except Conflict as conflict:
            self._membership.fenced(session_id, str(conflict))
            return 0
        finally:
            orphans.claim_ended()
        stale = self._drain.is_set() or self._membership.id != session_id
        for job in jobs:
            if stale:
                self._pool.give_back(Claimed(job.id, job.token))
            else:
                self._pool.start(job, session_id)
        return len(jobs)

    async def _pause(self, seconds: float) -> None:
        """Wait that long, or until a drain is requested."""
        await _within(seconds, self._drain.wait())

    # ---- stopping

    async def _let_finish(self, serve: asyncio.Task[None]) -> None:
        log.info("worker draining", session=self.session_id, running=self.busy, seconds=self._settings.drain)
        done = asyncio.create_task(self._all_written(serve))
        cut = asyncio.create_task(self._cut.wait())
        await asyncio.wait({done, cut}, timeout=self._settings.drain, return_when=asyncio.FIRST_COMPLETED)
        done.cancel()
        cut.cancel()

    async def _all_written(self, serve: asyncio.Task[None]) -> None:
        await self._idle(serve)
        await self._pool.completer.flush()

    async def _idle(self, serve: asyncio.Task[None]) -> None:
        """Until nothing runs and no claim is under way: one cut off in the middle would leave its jobs to the watch."""
        await asyncio.wait({serve})
        await self._pool.ended()

    async def _close_out(self, serve: asyncio.Task[None]) -> None:
        """Let go of everything, in bounded time: what cannot be told to the store, the watch finds out."""
        session_id, pool = self.session_id, self._pool
        reason = "drained" if self._drain.is_set() else "stopped undrained"
        self._drain.set()
        self._wakeup.call()
        pool.cancel()
        await _within(STOP_JOBS, self._idle(serve))
        serve.cancel()
        pool.abandon()
        written = await _within(STOP_WRITES, pool.completer.flush())
        if self._fault is not None:
            reason = crashed(self._fault)
        told = await _within(STOP_SESSION, self._membership.end(reason))
        stopped = await _within(STOP_HEARTBEAT, self._membership.stop_beating())
        if not (written and told and stopped):
            log.warning("stopped in haste", unwritten=len(pool.completer), session_ended=told, heartbeat_ended=stopped)
        log.info("worker stopped", session=session_id, reason=reason)


async def _within(seconds: float, work: Awaitable[object]) -> bool:
    """Await it for at most that long; False when it took longer or the store would not have it."""
    try:
        async with asyncio.timeout(seconds):
            await work
    except TimeoutError:
        return False
    except StoreError as error:
        log.warning("stopping without the store", error=str(error), means="the watch takes back what is left")
        return False
    return True
