"""One life of a worker inside an application: the grading worker, or a coroutine function of the application's own."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

from gradewatch.app import grade, heartbeat_timeout, opener
from gradewatch.config import Settings
from gradewatch.embed.beat import PATIENCE, Beat
from gradewatch.errors import ConfigError, GradewatchError
from gradewatch.metrics.worker import WorkerMetrics
from gradewatch.worker.crash import crashed
from gradewatch.worker.observer import Observer

log = structlog.get_logger(__name__)

Worker = Callable[..., Awaitable[object]]

UNWIND = 1.5  # seconds a worker has to end once it is cancelled
STOP_MARGIN = 5.0  # seconds beyond its drain that the grading worker takes at most


@dataclass
class Ending:
    """How a life is asked to end: `drain` in order, `cut` at once."""

    drain: asyncio.Event = field(default_factory=asyncio.Event)
    cut: asyncio.Event = field(default_factory=asyncio.Event)


class ReturnedUnasked(GradewatchError):
    """The worker returned although nobody had asked it to stop."""


class Work(Protocol):
    name: str
    patience: float  # seconds that a life may take to end once it is asked to drain

    async def live(self, ending: Ending) -> None:
        """One life. What it raises is a crash, which it has put on record in the store."""
        ...


class GradingWork:
    """The grading worker: its own session, slots, heartbeat and drain, as `gradewatch worker` has them."""

    def __init__(self, settings: Settings, name: str, environ: Mapping[str, str], metrics: WorkerMetrics) -> None:
        self.name = name
        self.patience = settings.worker.drain + STOP_MARGIN
        self._settings, self._environ, self._metrics = settings, environ, metrics

    async def live(self, ending: Ending) -> None:
        await grade(
            self._settings,
            name=self.name,
            environ=self._environ,
            metrics=self._metrics,
            drain=ending.drain,
            cut=ending.cut,
        )
        if not ending.drain.is_set():
            raise ReturnedUnasked("the grading worker ended although nobody asked it to")


class CoroutineWork:
    """A coroutine function of the application: beaten for, drained, and told from one that hangs."""

    def __init__(
        self, settings: Settings, worker: Worker, name: str, queue: str, drain: float, metrics: WorkerMetrics
    ) -> None:
        self.name, self.patience = name, drain + UNWIND + PATIENCE
        self._settings, self._worker, self._queue, self._drain = settings, worker, queue, drain
        self._metrics = metrics
        self._takes = arguments(worker)
        self._left: asyncio.Task[None] | None = None  # a life that would not end

    async def live(self, ending: Ending) -> None:
        if self._left is not None:
            await asyncio.wait({self._left})  # two at once would do a job twice
        timeout = heartbeat_timeout(self._settings)
        beat = Beat(self.name, opener(self._settings), self._queue, 1, timeout, Telling(self._metrics))
        beat.begin()
        reason = "cut off while it ran"
        try:
            await self._run(beat, ending)
            reason = "drained"
        except Exception as error:
            reason = crashed(error)
            raise
        finally:
            beat.end(reason)
            await beat.ended()

    async def _run(self, beat: Beat, ending: Ending) -> None:
        given: tuple[Any, ...] = (ending.drain, beat)[: self._takes]
        running = self._left = asyncio.create_task(_shielded(self._worker(*given)), name=f"worker {self.name}")
        cutting = asyncio.create_task(ending.cut.wait())
        draining = asyncio.create_task(ending.drain.wait())
        try:
            await asyncio.wait({running, draining, cutting}, return_when=asyncio.FIRST_COMPLETED)
            if not running.done() and not ending.cut.is_set() and self._takes:
                await asyncio.wait({running, cutting}, timeout=self._drain, return_when=asyncio.FIRST_COMPLETED)
        finally:
            cutting.cancel()
            draining.cancel()
            asked = not running.done() or ending.drain.is_set() or ending.cut.is_set()
            running.cancel()
            await asyncio.wait({running}, timeout=UNWIND)
        self._judge(running, asked)

    def _judge(self, running: asyncio.Task[None], asked: bool) -> None:
        """Raises what the worker raised, and ReturnedUnasked."""
        if not running.done():
            log.error("embedded worker does not end", worker=self.name, fix="let CancelledError through in it")
            return
        self._left = None
        if not running.cancelled():
            running.result()
        if not asked:
            how = "was cancelled, or let the CancelledError of another through" if running.cancelled() else "returned"
            raise ReturnedUnasked(f"it {how} although nobody asked it to: a worker runs until it is told to stop")


class Telling(Observer):
    """From the heartbeat's thread to the metrics, which may be told from any."""

    def __init__(self, metrics: WorkerMetrics) -> None:
        self._metrics = metrics

    def on_session(self, is_open: bool) -> None:
        self._metrics.up(is_open)

    def on_beat(self) -> None:
        self._metrics.beat()


async def _shielded(work: Awaitable[object]) -> None:
    try:
        await work
    except SystemExit as error:  # a library that calls sys.exit() must not end the application
        raise RuntimeError(f"it called sys.exit({error.code!r})") from error


def arguments(worker: Worker) -> int:
    """How many of (stop, beat) it takes. Raises ConfigError for what is no coroutine function."""
    if not inspect.iscoroutinefunction(worker) and not inspect.iscoroutinefunction(getattr(worker, "__call__", None)):  # noqa: B004 - asked of an object with an async __call__
        raise ConfigError([f"the worker must be a coroutine function (async def), and {worker!r} is none"])
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [
        each
        for each in inspect.signature(worker).parameters.values()
        if each.kind in positional and each.default is inspect.Parameter.empty
    ]
    if len(needed) > 2:
        raise ConfigError([f"the worker {worker!r} needs {len(needed)} arguments: at most (stop, beat) are given"])
    return len(needed)
