"""One job's waiting for providers: shown to people while it lasts, and taken off its clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from gradewatch.errors import Conflict
from gradewatch.worker.context import JobContext

TICK = 1.0  # seconds between two credits of one wait: what a watch may be behind when it looks
SHORTEST = 0.2  # seconds: a shorter wait is not worth a word

Why = Callable[[], str]


def now() -> float:
    """The loop's clock, in seconds: monotonic, and that by which its timers go."""
    return asyncio.get_running_loop().time()


class Waiting:
    """Papers of one job wait in any number and at once; a moment in which several wait is credited once."""

    def __init__(self, ctx: JobContext, *, tick: float = TICK) -> None:
        self._ctx, self._tick = ctx, tick
        self._whys: dict[object, Why] = {}
        self._since = 0.0
        self._credited = 0.0
        self._telling: asyncio.Task[None] | None = None

    @property
    def seconds(self) -> float:
        """What this job has waited in all."""
        return self._credited + (now() - self._since if self._whys else 0.0)

    @asynccontextmanager
    async def on(self, why: Why) -> AsyncIterator[None]:
        """The length of this context is a wait for what `why` says; it is asked anew at each telling."""
        key = object()
        if not self._whys:
            self._since = now()
        self._whys[key] = why
        if self._telling is None:
            self._telling = asyncio.create_task(self._tell())
        try:
            yield
        finally:
            waited = self.seconds
            del self._whys[key]
            if not self._whys:
                self._credited = waited

    async def close(self) -> None:
        """The job is done with, or about to be: tell its last credit, and nothing more."""
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.wait({self._telling})
            await self._say("")

    async def _tell(self) -> None:
        """Tell while somebody waits, and once more that nobody does."""
        try:
            await asyncio.sleep(SHORTEST)
            while self._whys:
                if not await self._say(next(iter(self._whys.values()))()):
                    return
                await asyncio.sleep(self._tick)
            await self._say("")
        finally:
            self._telling = None

    async def _say(self, why: str) -> bool:
        """False when the claim is lost: the job has been told to stop, and says so itself. While the store is away, the
        context keeps what is to be said until it is back."""
        try:
            await self._ctx.waiting(why, self.seconds)
        except Conflict:
            return False
        return True
