"""The rescue worker: a supervised child of the watch that stands in for the real workers of some queues."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import structlog

from gradewatch.config import Settings
from gradewatch.errors import PlatformError
from gradewatch.model import Target, rescued
from gradewatch.platforms.process import ProcessPlatform
from gradewatch.ports import WorkerControl

log = structlog.get_logger(__name__)

STOP_MARGIN = 6.0  # seconds the worker may take beyond its drain to write and leave


class Rescuer:
    """One child for all queues to be rescued; started anew when they change. Its session and its target say
    `rescue:QUEUE` for each."""

    def __init__(self, settings: Settings, *, config: Path | None, environ: Mapping[str, str]) -> None:
        env = {**environ, "GRADEWATCH_WORKER__HTTP_PORT": "0"}  # the port set for real workers may still be held
        if config is not None:
            env["GRADEWATCH_CONFIG"] = str(config)
        self._wanted: frozenset[str] = frozenset()
        self._serving: frozenset[str] = frozenset()
        self._platform = ProcessPlatform(
            lambda name: self._command(),
            names=[f"rescue-{socket.gethostname()}"],
            queues=(),
            env=env,
            stop_timeout=settings.worker.drain + STOP_MARGIN,
        )
        self._lock = asyncio.Lock()
        self._settling: set[asyncio.Task[None]] = set()
        self.on_event = self._platform.on_event

    def _command(self) -> Sequence[str]:
        asked = (word for queue in sorted(self._serving) for word in ("--rescue", queue))
        return [sys.executable, "-m", "gradewatch", "worker", *asked]

    async def targets(self) -> Sequence[Target]:
        """The child, once there has been one: not `wanted` by the platform, so that only rescuing starts it again."""
        found = await self._platform.targets()
        queues = rescued(sorted(self._serving))
        return [replace(target, queues=queues, wanted=False) for target in found if target.incarnation]

    async def add(self, queue: str) -> None:
        self._wanted |= {queue}
        if await self._running():
            self._settle_soon()
            return
        async with self._lock:
            await self._start()

    def release(self, queues: Collection[str] | None = None) -> None:
        left = self._wanted if queues is None else self._wanted & frozenset(queues)
        if left:
            self._wanted -= left
            self._settle_soon()

    async def close(self) -> None:
        """Drain and end it."""
        self._wanted = frozenset()
        await self._settle()

    async def _running(self) -> bool:
        return any(target.running for target in await self._platform.targets())

    def _settle_soon(self) -> None:
        task = asyncio.create_task(self._settle(), name="rescue worker")
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    async def _settle(self) -> None:
        """Have the child work what is wanted now, and nothing else."""
        async with self._lock:
            if self._wanted == self._serving and (await self._running() or not self._wanted):
                return
            await self._platform.stop()
            try:
                await self._start()
            except PlatformError as error:
                log.error("rescue worker not started again", error=str(error))

    async def _start(self) -> None:
        self._serving = self._wanted
        if self._wanted:
            await self._platform.start()


class WithRescue:
    """A platform, and the rescue worker beside what it keeps."""

    def __init__(self, platform: WorkerControl, rescuer: Rescuer) -> None:
        self._platform, self._rescuer = platform, rescuer
        self.kind = platform.kind

    async def targets(self) -> Sequence[Target]:
        return (*await self._platform.targets(), *await self._rescuer.targets())

    async def restart(self, target: str, incarnation: str) -> str:
        return await self._platform.restart(target, incarnation)

    def on_event(self, wake: Callable[[], None]) -> None:
        self._platform.on_event(wake)
        self._rescuer.on_event(wake)
