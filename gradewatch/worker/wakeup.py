"""How an idle worker learns of work: its own completions at once, others' submissions in 50 ms, all else by polling.

Losing a wake-up costs latency, never a job: a full look at the queue follows every `poll` seconds beneath.
"""

from __future__ import annotations

import asyncio
import random
from typing import Protocol

GLANCE = 0.05  # seconds between two looks at the store's change token
JITTER = 0.1  # share of `poll` by which it varies, so that a fleet does not poll in step


class ChangeTeller(Protocol):
    async def change_token(self) -> object: ...


class Wakeup:
    def __init__(self, store: ChangeTeller, *, poll: float, rng: random.Random) -> None:
        self._store = store
        self._poll = poll
        self._rng = rng
        self._called = asyncio.Event()

    def call(self) -> None:
        """Something here may let us claim: look at once."""
        self._called.set()

    def reset(self) -> None:
        """Forget earlier calls: to be done before what they are about is looked at."""
        self._called.clear()

    async def look(self) -> object:
        """The store's change token. Read it before the claim, so that a job submitted after the claim changes it."""
        return await self._store.change_token()

    async def sleep(self, seconds: float | None = None) -> bool:
        """Until called, or for that long (default: `poll`). True when called."""
        try:
            async with asyncio.timeout(self._poll_delay() if seconds is None else seconds):
                await self._called.wait()
        except TimeoutError:
            return False
        return True

    async def wait(self, seen: object) -> None:
        """Until called, the store's token differs from `seen`, or it is time for a full look."""
        if not await self._store_can_tell():
            await self.sleep()
            return
        loop = asyncio.get_running_loop()
        until = loop.time() + self._poll_delay()
        while loop.time() < until:
            if await self.sleep(GLANCE) or await self._store.change_token() != seen:
                return

    async def _store_can_tell(self) -> bool:
        """A store that cannot tell gives a new token each time; three in a row all differ. One that is merely busy
        may look the same: asked again at every full look, that costs one `poll`."""
        first = await self._store.change_token()
        second = await self._store.change_token()
        return first == second or second == await self._store.change_token()

    def _poll_delay(self) -> float:
        return self._poll * self._rng.uniform(1 - JITTER, 1 + JITTER)
