"""From signals to an orderly end: the first asks a service to stop, the second to hurry."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from gradewatch.cli.collector import spare_when_settled
from gradewatch.cli.failure import INTERRUPTED
from gradewatch.cli.lean import structlog

log = structlog.get_logger(__name__)

CLEAN_UP = 1.0  # seconds that each step of an impatient end may take

Service = Callable[[asyncio.Event, asyncio.Event], Coroutine[Any, Any, None]]


def serve(service: Service) -> int:
    """Run `service(stop, hurry)` until it ends, and return the exit code: 130 after Ctrl-C, else 0."""
    return asyncio.run(_serve(service))


async def _serve(service: Service) -> int:
    stop, hurry = asyncio.Event(), asyncio.Event()
    received: list[signal.Signals] = []

    def on_signal(number: signal.Signals) -> None:
        received.append(number)
        if stop.is_set():
            log.warning("stopping at once", signal=number.name)
            hurry.set()
        else:
            log.info("stopping in order; a second signal cuts it short", signal=number.name)
            stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    spare_when_settled(loop)
    await service(stop, hurry)
    return INTERRUPTED if signal.SIGINT in received else 0


async def cut_short(work: Awaitable[None], hurry: asyncio.Event) -> None:
    """`work`, cancelled as soon as `hurry` is set, and again each second until it ends: for a service that has no
    quicker way of its own to end. A worker whose supervisor ends like this gives its jobs back at once."""
    running = asyncio.ensure_future(work)
    hurried = asyncio.create_task(hurry.wait(), name="hurry")
    try:
        await asyncio.wait({running, hurried}, return_when=asyncio.FIRST_COMPLETED)
        while not running.done():
            running.cancel()
            await asyncio.wait({running}, timeout=CLEAN_UP)
        if not running.cancelled():
            running.result()
    finally:
        hurried.cancel()
