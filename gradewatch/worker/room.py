"""How many pages, and how many papers' files, may be in memory at once, in the whole process."""

from __future__ import annotations

import asyncio
from collections import deque

OPEN_FILES = 2  # one is drawn while the next one is opened


class Room:
    """Places for pages, taken several at once and in turn: who waits for many is not passed by those who want few, so
    that nobody holds some while waiting for the rest. `opening` is held while a paper's file is open: PDFium keeps much
    of it in memory, and draws on one thread anyway."""

    def __init__(self, places: int) -> None:
        self.free = self._places = places
        self.opening = asyncio.Semaphore(OPEN_FILES)
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, count: int) -> int:
        """Wait for that many, or for all there are; returns how many were taken."""
        count = min(count, self._places)
        if self._waiting or self.free < count:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append((count, turn))
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self.give(count)  # had them, and was gone before it knew
                raise
        else:
            self.free -= count
        return count

    def give(self, count: int) -> None:
        self.free += count
        while self._waiting and (self._waiting[0][1].done() or self._waiting[0][0] <= self.free):
            wanted, turn = self._waiting.popleft()
            if not turn.done():
                self.free -= wanted
                turn.set_result(None)
