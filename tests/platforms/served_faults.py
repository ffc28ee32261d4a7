"""A real HTTP server for faults that a mocked one cannot show: cut connections, hanging, endless answers."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class Served:
    """Where it is, and what it was asked."""

    url: str = ""
    requests: list[web.Request] = field(default_factory=list)


@asynccontextmanager
async def served(answer: Callable[[web.Request], Any]) -> AsyncIterator[Served]:
    """Every request is given to `answer`, which may be a coroutine."""
    there = Served()

    async def handle(request: web.Request) -> web.StreamResponse:
        there.requests.append(request)
        answered = answer(request)
        return await answered if inspect.isawaitable(answered) else answered

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        there.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield there
    finally:
        await runner.cleanup()
