"""`gradewatch.heartbeat`: one line that makes a worker of any kind seen by the watch."""

from __future__ import annotations

import asyncio
import atexit
import functools
import inspect
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, cast

import structlog

from gradewatch.config import Settings, load
from gradewatch.embed.beater import GOODBYE, Beater, Beats, OpenBeats
from gradewatch.embed.pulse import LoopPulse, no_loop
from gradewatch.embed.remote import RemoteBeats
from gradewatch.model import NewSession
from gradewatch.version import __version__
from gradewatch.worker.crash import crashed
from gradewatch.worker.observer import Observer

log = structlog.get_logger(__name__)

F = TypeVar("F", bound=Callable[..., Any])

GRACE = 0.05  # seconds in which a plain call may yet turn out to be a decorator
PATIENCE = 1.5 * GOODBYE  # seconds
REMOTE_TIMEOUT = 15.0  # seconds; the default of timeouts.heartbeat, which a worker without settings does not know
WATCH_URL, TOKEN = "GRADEWATCH_WATCH_URL", "GRADEWATCH_HTTP__TOKEN"


class Beat:
    """A worker's heartbeat. Set `busy` to the number of jobs in hand, so that an idle worker can be told from one at
    work; it is told with the next beat."""

    def __init__(
        self,
        worker: str,
        open_beats: OpenBeats,
        queue: str,
        slots: int,
        timeout: float,
        observer: Observer | None = None,
    ) -> None:
        self._observer = observer
        self._worker, self._queue, self._slots, self._timeout = worker, queue, slots, timeout
        self._open_beats = open_beats
        self._beater: Beater | None = None
        self._pulse: LoopPulse | None = None
        self._entered = 0
        self.busy = 0

    @property
    def session(self) -> str | None:
        """The session in the store; None while there is none."""
        return self._beater.session_id if self._beater else None

    def begin(self, delay: float = 0.0) -> None:
        """Have it beat, in this process, if it does not yet."""
        if self._beater is not None and self._beater.alive:
            if not delay:
                self._beater.hurry()
            return
        self._pulse = _running_loop_pulse()
        self._beater = Beater(
            self._open_beats,
            self._session,
            timeout=self._timeout,
            pulse_age=self._pulse.age if self._pulse else no_loop,
            busy=lambda: max(0, self.busy),
            observer=self._observer,
            delay=delay,
        )
        self._beater.start()

    def end(self, reason: str) -> None:
        """Beat no more, and have the session end, soon."""
        if self._pulse is not None:
            self._pulse.stop()
        if self._beater is not None:
            self._beater.stop(reason)

    def wait(self) -> None:
        """Until its session has ended, or as long as that may take."""
        if self._beater is not None:
            self._beater.join(PATIENCE)

    async def ended(self) -> None:
        """The same, without holding up the event loop."""
        if self._beater is not None:
            await self._beater.ended(PATIENCE)

    def _session(self) -> NewSession:
        queues = (self._queue,) if self._queue else ()
        return NewSession(self._worker, queues, self._slots, socket.gethostname(), os.getpid(), __version__)

    # ---- as a context manager

    def __enter__(self) -> Beat:
        self._entered += 1
        self.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._leave(error):
            self.wait()

    async def __aenter__(self) -> Beat:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._leave(error):
            await self.ended()

    def _leave(self, error: BaseException | None) -> bool:
        """True when the last one left."""
        self._entered -= 1
        if self._entered:
            return False
        self.end(crashed(error) if isinstance(error, Exception) else "stopped")
        _forget(self)
        return True

    # ---- as a decorator

    def __call__(self, function: F) -> F:
        """The function, beating while it runs."""
        _forget(self)
        if not self._entered:
            self.end("it was a decorator")

        def fresh() -> Beat:
            return Beat(self._worker, self._open_beats, self._queue, self._slots, self._timeout)

        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def beating(*args: Any, **named: Any) -> Any:
                async with fresh():
                    return await function(*args, **named)

        else:

            @functools.wraps(function)
            def beating(*args: Any, **named: Any) -> Any:
                with fresh():
                    return function(*args, **named)

        return cast(F, beating)


def _running_loop_pulse() -> LoopPulse | None:
    try:
        return LoopPulse(asyncio.get_running_loop())
    except RuntimeError:
        return None  # a worker without an event loop


# ---- one heartbeat for each worker of this process

_beats: dict[tuple[object, ...], Beat] = {}
_lock = threading.Lock()


def heartbeat(
    worker: str,
    queue: str = "",
    *,
    slots: int = 1,
    url: str | None = None,
    token: str | None = None,
    config: str | os.PathLike[str] | None = None,
) -> Beat:
    """See gradewatch.heartbeat."""
    key = (worker, queue, slots, url, os.fspath(config) if config is not None else None)
    with _lock:
        beat = _beats.get(key)
        if beat is None:
            beat = _beats[key] = _made(worker, queue, slots, url, token, config)
        beat.begin(GRACE)
    return beat


def _made(
    worker: str, queue: str, slots: int, url: str | None, token: str | None, config: str | os.PathLike[str] | None
) -> Beat:
    watch = url or os.environ.get(WATCH_URL, "").strip()
    if watch:
        secret = token if token is not None else os.environ.get(TOKEN, "")

        async def to_the_watch() -> Beats:
            return RemoteBeats(watch, secret, worker)

        return Beat(worker, to_the_watch, queue, slots, REMOTE_TIMEOUT)
    from gradewatch.app import heartbeat_timeout, opener

    settings = load(Path(config) if config is not None else None).require()
    served = queue or next(iter(settings.queues))
    _doubt(worker, served, settings)
    timeout = settings.queues[served].timeouts.heartbeat if served in settings.queues else heartbeat_timeout(settings)
    return Beat(worker, opener(settings), served, slots, timeout)


def _doubt(worker: str, queue: str, settings: Settings) -> None:
    if queue not in settings.queues:
        have = ", ".join(settings.queues)
        log.warning("this queue is not watched", worker=worker, queue=queue, watched=have, fix=f"[queues.{queue}]")


def _forget(beat: Beat) -> None:
    with _lock:
        for key in [key for key, known in _beats.items() if known is beat]:
            del _beats[key]


def _end_all() -> None:
    """At the interpreter's end: sessions end with a word, as far as the store hears it in time."""
    beats = list(_beats.values())
    for beat in beats:
        beat.end("its process ended")
    for beat in beats:
        beat.wait()


def _after_fork() -> None:
    """The child has none of its parent's threads, and is another worker."""
    global _lock
    _lock = threading.Lock()
    _beats.clear()


atexit.register(_end_all)
os.register_at_fork(after_in_child=_after_fork)
