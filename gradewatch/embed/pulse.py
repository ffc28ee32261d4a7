"""The pulse of somebody else's event loop: stamped by the loop itself, read from any thread."""

from __future__ import annotations

import asyncio
import time

EVERY = 0.5  # seconds between two stamps


class LoopPulse:
    """Stamps as long as the loop runs. A callback and no task: nothing that the worker cancels can end it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._at = time.monotonic()
        self._stopped = False
        self._stamp()

    def _stamp(self) -> None:
        self._at = time.monotonic()
        if not self._stopped:
            self._loop.call_later(EVERY, self._stamp)

    def stop(self) -> None:
        self._stopped = True

    def age(self) -> float | None:
        """Seconds since the last stamp; None once the loop is closed."""
        return None if self._loop.is_closed() else max(0.0, time.monotonic() - self._at)


def no_loop() -> float | None:
    """The pulse of a worker without an event loop: that its thread beats is all there is to tell."""
    return 0.0
