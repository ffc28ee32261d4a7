"""The second heartbeat: a thread of its own, with its own handle to the store, tells that this process lives.

It writes one beat at a time, however many jobs run, and with it how old the event loop's own pulse is. So a worker
whose loop is blocked goes on beating, and is seen as starved rather than dead.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import structlog

from gradewatch.errors import StoreError, StoreUnavailable
from gradewatch.model import BeatReply
from gradewatch.ports import OpenStore, Store
from gradewatch.worker.backoff import full_jitter

log = structlog.get_logger(__name__)

BEATS_PER_TIMEOUT = 5  # several beats in a row may get lost before anyone becomes suspicious


@dataclass(slots=True)
class Pulse:
    """The event loop's own heartbeat: the loop stamps it, the thread reads how old it is."""

    at: float = field(default_factory=time.monotonic)

    def stamp(self) -> None:
        self.at = time.monotonic()

    @property
    def age(self) -> float:
        return max(0.0, time.monotonic() - self.at)


@dataclass(frozen=True, slots=True)
class Beat:
    """What came of one beat. `sent` is monotonic: claims younger than that may be missing in the reply."""

    session_id: str
    sent: float
    reply: BeatReply | StoreError


class Heartbeat:
    """Beats for the session it was given, and has `report` called with each outcome in the loop it belongs to."""

    def __init__(
        self,
        open_store: OpenStore,
        *,
        timeout: float,
        pulse: Pulse,
        busy: Callable[[], int],
        report: Callable[[Beat], None],
        rng: random.Random,
    ) -> None:
        self._session_id: str | None = None
        self._open_store = open_store
        self._timeout = timeout
        self._interval = timeout / BEATS_PER_TIMEOUT
        self._pulse = pulse
        self._busy = busy
        self._report = report
        self._rng = rng
        self._thread: threading.Thread | None = None
        self._worker_loop: asyncio.AbstractEventLoop | None = None
        self._ended = asyncio.Event()
        self._next_start = 0.0
        self._stopping = threading.Event()
        self._nudge: Callable[[], None] | None = None

    @property
    def alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def revive(self) -> None:
        """Start the thread, or another one where the last has died: at most one for each beat that is due."""
        if self.alive or self._stopping.is_set() or time.monotonic() < self._next_start:
            return
        if self._thread is not None:
            log.warning("heartbeat thread restarted", session=self._session_id)
        self._next_start = time.monotonic() + self._interval
        self._worker_loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._thread.start()

    def beat_for(self, session_id: str | None) -> None:
        """Beat for that session from now on, the first time at once; None: for none."""
        self._session_id = session_id
        if self._nudge is not None:
            self._nudge()

    def halt(self) -> None:
        """Have the thread end soon, and start no other."""
        self._stopping.set()
        if self._nudge is not None:
            self._nudge()

    async def stop(self) -> None:
        """End the thread and return when it has ended: the caller bounds the wait."""
        self.halt()
        if self._thread is not None:
            await self._ended.wait()
            self._thread.join()  # it has left its loop: this takes no time

    # ---- in the thread

    def _run(self) -> None:
        try:
            asyncio.run(self._beat_until_stopped())
        except Exception:
            log.exception("heartbeat thread died", means="no beats for a moment; the event loop starts another thread")
        finally:
            self._call_worker(self._ended.set)

    async def _beat_until_stopped(self) -> None:
        nudged = asyncio.Event()
        self._nudge = partial(_call_in, asyncio.get_running_loop(), nudged.set)
        store = await self._opened(nudged)
        if store is None:
            return
        try:
            while not self._stopping.is_set():
                if (session_id := self._session_id) is not None:
                    await self._beat(store, session_id)
                await self._rest(nudged, self._interval)
        finally:
            await store.close()

    async def _opened(self, nudged: asyncio.Event) -> Store | None:
        failures = 0
        while not self._stopping.is_set():
            try:
                return await self._open_store()
            except StoreError as error:
                failures += 1
                self._call_worker(self._report, Beat(self._session_id or "", time.monotonic(), error))
                delay = full_jitter(failures, base=0.2, cap=self._interval, rng=self._rng, floor=0.05)
                await self._rest(nudged, delay)
        return None

    async def _beat(self, store: Store, session_id: str) -> None:
        sent = time.monotonic()
        reply: BeatReply | StoreError
        try:
            async with asyncio.timeout(self._timeout):
                reply = await store.beat(session_id, loop_age=self._pulse.age, busy=self._busy())
        except TimeoutError:
            reply = StoreUnavailable(f"no answer to a beat within {self._timeout:g} s")
        except StoreError as error:
            reply = error
        self._call_worker(self._report, Beat(session_id, sent, reply))

    def _call_worker(self, call: Callable[..., None], *args: object) -> None:
        if self._worker_loop is not None:
            _call_in(self._worker_loop, call, *args)

    async def _rest(self, nudged: asyncio.Event, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await nudged.wait()
        except TimeoutError:
            return
        nudged.clear()


def _call_in(loop: asyncio.AbstractEventLoop, call: Callable[..., None], *args: object) -> None:
    """Call it in another thread's loop; a loop that has been closed has nothing left to be told."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(call, *args)
