"""One answer for many askers: at most one question to the store in flight, and its answer kept for a moment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from gradewatch.errors import StoreUnavailable

T = TypeVar("T")


class Shared(Generic[T]):
    """The result of `ask`, at most `ttl` seconds old; an error is an answer too, so a dead store is not hammered.

    `deadline` (seconds) bounds one question; past it the error is StoreUnavailable.
    """

    def __init__(
        self,
        ask: Callable[[], Awaitable[T]],
        *,
        ttl: float,
        deadline: float,
        mono: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask, self._ttl, self._deadline, self._mono = ask, ttl, deadline, mono
        self._asked: asyncio.Task[T] | None = None
        self._answered = 0.0
        self._forgotten = False

    async def get(self) -> T:
        """Raises what `ask` raises, and StoreUnavailable past the deadline."""
        asked = self._asked
        if asked is None or (asked.done() and (asked.cancelled() or self._forgotten or self._old())):
            self._forgotten = False
            self._asked = asked = asyncio.create_task(self._bounded())
            asked.add_done_callback(self._note)
        return await asyncio.shield(asked)

    def _old(self) -> bool:
        return self._mono() - self._answered > self._ttl

    def forget(self) -> None:
        """Ask anew for the next asker, whatever the age of the answer. A question in flight still serves its askers."""
        self._forgotten = True

    async def close(self) -> None:
        """Give up a question in flight."""
        if self._asked is not None:
            self._asked.cancel()
            await asyncio.wait([self._asked])

    async def _bounded(self) -> T:
        try:
            async with asyncio.timeout(self._deadline):
                return await self._ask()
        except TimeoutError:
            raise StoreUnavailable(f"the store did not answer within {self._deadline:g} s") from None

    def _note(self, task: asyncio.Task[T]) -> None:
        self._answered = self._mono()
        if not task.cancelled():
            task.exception()  # looked at here, because every asker may have gone by now
