"""How many calls to one provider may be in flight: as many as it lets in, found out by asking a little more at times.

It rises by one and falls by what was too much (as TCP does, RFC 5681), with one thing that a provider tells and a
network does not: what is still in flight when one call is turned away *was* let in. The limit falls to that, so that
one burst finds the right limit at once.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

HOPE = 30.0  # seconds after a refusal before the limit that led to it is tried again; doubles with each refusal there
LONGEST_HOPE = 600.0


class Limiter:
    """First come, first served. `most` is the limit it begins with and never exceeds."""

    def __init__(self, most: int, *, mono: Callable[[], float] = time.monotonic) -> None:
        self.limit = most
        self.in_flight = 0
        self._most = most
        self._mono = mono
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._good = 0  # successes in a row at this limit
        self._ceiling = most + 1  # the lowest limit at which we were turned away
        self._hope = HOPE
        self._turned_away_at = -LONGEST_HOPE

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """One call's place. Cancelling the wait or the call frees it."""
        await self._enter()
        try:
            yield
        finally:
            self.in_flight -= 1
            self._let_in()

    def succeeded(self) -> None:
        """A call was answered: after as many as the limit, one more is tried, unless that was refused not long ago."""
        self._good += 1
        if self._good < self.limit or self.limit >= self._most:
            return
        if self.limit + 1 >= self._ceiling and self._mono() - self._turned_away_at < self._hope:
            return
        self._good = 0
        self.limit += 1
        self._let_in()

    def turned_away(self) -> None:
        """A call was refused for there being too many; it is still counted as in flight."""
        now = self._mono()
        let_in = self.in_flight - 1
        if let_in >= self.limit:
            return  # of a burst that was sent before the limit fell
        if self.limit == 1:  # not for their number, then: it counts requests or tokens in a span of time
            self._ceiling, self._hope, self._turned_away_at = 2, HOPE, now
            return
        again = self.limit >= self._ceiling
        self._hope = min(self._hope * 2, LONGEST_HOPE) if again else HOPE
        self._ceiling = min(self._ceiling, self.limit) if again else self.limit
        self.limit = max(1, let_in)
        self._good = 0
        self._turned_away_at = now

    async def _enter(self) -> None:
        if self.in_flight < self.limit and not self._waiting:
            self.in_flight += 1
            return
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.in_flight -= 1  # let in, and gone before it knew
                self._let_in()
            raise

    def _let_in(self) -> None:
        while self._waiting and self.in_flight < self.limit:
            place = self._waiting.popleft()
            if not place.done():
                self.in_flight += 1
                place.set_result(None)
