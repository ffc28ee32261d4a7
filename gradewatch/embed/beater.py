"""Beats for a worker that is not ours, from a thread of its own: it holds a session, and tells how old the pulse of the
worker's event loop is. Nothing here is ever waited for by the worker, and nothing is raised into it."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Protocol

import structlog

from gradewatch.errors import GradewatchError, StoreUnavailable
from gradewatch.model import CRASHED, BeatReply, NewSession
from gradewatch.worker.backoff import full_jitter
from gradewatch.worker.heartbeat import BEATS_PER_TIMEOUT
from gradewatch.worker.observer import Observer

log = structlog.get_logger(__name__)

GOODBYE = 2.0  # seconds that the session's end may take
REFUSED = 15.0  # seconds between two tries where only a person can help


class Beats(Protocol):
    """Where beats go: a store, or a watch by HTTP."""

    async def open_session(self, new: NewSession) -> str: ...

    async def beat(self, session_id: str, *, loop_age: float, busy: int) -> BeatReply: ...

    async def end_session(self, session_id: str, reason: str) -> bool: ...

    async def close(self) -> None: ...


OpenBeats = Callable[[], Awaitable[Beats]]


class Beater:
    """`new` is asked for what the session says, once the thread runs. `pulse_age` tells how old the worker's own pulse
    is, in seconds, or None once its event loop is gone; `timeout` is the heartbeat timeout. With `delay` the thread
    waits that long before it does anything: a `stop` until then leaves no trace."""

    def __init__(
        self,
        open_beats: OpenBeats,
        new: Callable[[], NewSession],
        *,
        timeout: float,
        pulse_age: Callable[[], float | None],
        busy: Callable[[], int],
        observer: Observer | None = None,
        delay: float = 0.0,
        rng: random.Random | None = None,
    ) -> None:
        self._open_beats, self._new = open_beats, new
        self._timeout, self._interval = timeout, timeout / BEATS_PER_TIMEOUT
        self._pulse_age, self._busy = pulse_age, busy
        self._observer, self._rng = observer or Observer(), rng or random.Random()
        self._delay = delay
        self._go, self._stopping = threading.Event(), threading.Event()
        self._reason = "stopped"
        self._nudge: Callable[[], None] | None = None
        self._beats: Beats | None = None
        self._failures, self._away_since = 0, 0.0
        self.session_id: str | None = None
        self._thread = threading.Thread(target=self._run, name="gradewatch-beats", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def hurry(self) -> None:
        """Begin now, whatever the delay."""
        self._delay = 0.0
        self._go.set()

    @property
    def alive(self) -> bool:
        """False before the start, after the end, and in a process that was forked off since."""
        return self._thread.is_alive() and not self._stopping.is_set()

    def stop(self, reason: str) -> None:
        """Beat no more, and end the session with this reason, soon."""
        self._reason = reason
        self._stopping.set()
        self._go.set()
        if self._nudge is not None:
            self._nudge()

    def join(self, seconds: float) -> None:
        """Wait for the thread's end, for at most that long."""
        self._thread.join(seconds)

    async def ended(self, seconds: float) -> None:
        """The same, without holding up the event loop."""
        await asyncio.to_thread(self._thread.join, seconds)

    # ---- in the thread

    def _run(self) -> None:
        self._go.wait(self._delay)
        if self._delay and self._stopping.is_set():
            return
        while True:
            try:
                asyncio.run(self._beat_until_stopped())
                return
            except Exception:
                log.exception("heartbeat thread failed", means="no beats for a moment; it begins again")
            if self._stopping.wait(self._interval):
                return

    async def _beat_until_stopped(self) -> None:
        nudged = asyncio.Event()
        self._nudge = partial(_call_in, asyncio.get_running_loop(), nudged.set)
        try:
            while not self._stopping.is_set():
                pause = await self._step()
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await nudged.wait()
        finally:
            await self._goodbye()

    async def _step(self) -> float:
        """One try to beat; returns the seconds until the next."""
        age = self._pulse_age()
        if age is None:
            self.stop("its event loop ended")
            return 0.0
        try:
            async with asyncio.timeout(self._timeout):
                reopened = not await self._beat(age)
        except TimeoutError:
            return self._failed(StoreUnavailable(f"no answer to a beat within {self._timeout:g} s"))
        except GradewatchError as error:
            return self._failed(error)
        self._answered()
        return 0.0 if reopened else self._interval

    async def _beat(self, age: float) -> bool:
        """False when the session had been ended by somebody else: the next step opens another."""
        if self._beats is None:
            self._beats = await self._open_beats()
        if self.session_id is None:
            new = self._new()
            self.session_id = await self._beats.open_session(new)
            self._observer.on_session(True)
            log.info("worker beats", worker=new.name, session=self.session_id, queues=new.queues)
        reply = await self._beats.beat(self.session_id, loop_age=age, busy=self._busy())
        if reply.session_open:
            self._observer.on_beat()
            return True
        log.warning("session ended by the watch", session=self.session_id, means="another one is opened")
        self.session_id = None
        self._observer.on_session(False)
        return False

    def _failed(self, error: GradewatchError) -> float:
        if not self._failures:
            self._away_since = time.monotonic()
            means = "the worker goes on; its beats are tried again, and until then a watch may call it silent"
            log.warning("beats do not get through", error=str(error), means=means)
        self._failures += 1
        if not isinstance(error, StoreUnavailable):
            return REFUSED
        return full_jitter(self._failures, base=0.2, cap=self._interval, rng=self._rng, floor=0.05)

    def _answered(self) -> None:
        if self._failures:
            log.info("beats get through again", seconds=round(time.monotonic() - self._away_since, 1))
        self._failures = 0

    async def _goodbye(self) -> None:
        beats, self._beats = self._beats, None
        try:
            if self._stopping.is_set():
                async with asyncio.timeout(GOODBYE):
                    if self.session_id is not None or self._reason.startswith(CRASHED):
                        beats = beats or await self._open_beats()
                        await self._end_session(beats)
        except (TimeoutError, GradewatchError, RuntimeError) as error:  # RuntimeError: the interpreter is ending
            log.warning("session not ended; the watch will find it silent", error=str(error), reason=self._reason)
        finally:
            self._observer.on_session(False)
            if beats is not None:
                with suppress(RuntimeError):
                    await beats.close()

    async def _end_session(self, beats: Beats) -> None:
        """A crash before there was a session opens one for its end: a crash must be on record."""
        if self.session_id is None and self._reason.startswith(CRASHED):
            self.session_id = await beats.open_session(self._new())
        if self.session_id is not None:
            session_id, self.session_id = self.session_id, None
            await beats.end_session(session_id, self._reason)


def _call_in(loop: asyncio.AbstractEventLoop, call: Callable[..., object]) -> None:
    """Call it in another thread's loop; a loop that has been closed has nothing left to be told."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(call)
