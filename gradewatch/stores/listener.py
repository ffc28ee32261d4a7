"""Hearing that jobs have come in, so that idle workers need not ask. Whatever is missed here is found by polling."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from contextlib import suppress

import structlog

log = structlog.get_logger(__name__)

RETRY = 5.0  # seconds between two attempts to listen


class Listener(ABC):
    """`heard` rises with each change, and with each new beginning; it is None while nothing can be heard. `faults` is
    what ends an attempt, beside an end of the connection and a time that has run out."""

    faults: tuple[type[Exception], ...]

    def __init__(self, place: str) -> None:
        self.heard: int | None = None
        self._place = place
        self._task: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
        self._count = 0

    @abstractmethod
    async def listen(self) -> None:
        """Call `note` once it listens, and with each change; return where there will never be anything to hear."""

    def note(self) -> None:
        self._count += 1
        self.heard = self._count
        self._tried.set()

    async def ready(self) -> None:
        """Begin to listen, and come back once it is known whether that works."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep_listening(), name="gradewatch listener")
        await self._tried.wait()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _keep_listening(self) -> None:
        ended: tuple[type[Exception], ...] = (*self.faults, ConnectionError, TimeoutError)
        while True:
            try:
                await self.listen()
                return
            except ended as error:
                log.debug("not listening, polling instead", store=self._place, reason=type(error).__name__)
            finally:
                self.heard = None
                self._tried.set()
            await asyncio.sleep(RETRY)
