"""How many papers are in work at once in one process, and how a paper that waits for long lets another one begin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

MOST_ASIDE = 16  # papers that wait beside those in work: each holds its text, and its pages where it is being read


class Seat:
    """One paper's place. `leave` may be called any number of times, and leaves as long as there is room to stand."""

    def __init__(self, seats: Seats, another: Callable[[], None]) -> None:
        self._seats, self._another = seats, another
        self.left = False

    def leave(self) -> None:
        """This paper can do nothing but wait: another one may begin beside it."""
        if not self.left and self._seats.aside < MOST_ASIDE:
            self.left = True
            self._seats.aside += 1
            self._seats.free.release()
            self._another()


class Seats:
    """`count` papers at once over all jobs of the process."""

    def __init__(self, count: int) -> None:
        self.free = asyncio.Semaphore(count)
        self.aside = 0

    @asynccontextmanager
    async def take(self, another: Callable[[], None]) -> AsyncIterator[Seat]:
        """Wait for a place; `another` is called when the paper leaves it before it is done."""
        await self.free.acquire()
        seat = Seat(self, another)
        try:
            yield seat
        finally:
            if seat.left:
                self.aside -= 1
            else:
                self.free.release()
