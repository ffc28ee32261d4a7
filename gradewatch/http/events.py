"""GET /api/events: each cycle as a server-sent event (the WHATWG HTML standard, section 9.2)."""

from __future__ import annotations

import asyncio

from aiohttp import web

from gradewatch.board import Lost
from gradewatch.http import wire
from gradewatch.http.services import SERVICES
from gradewatch.model import CycleReport

PATH = "/api/events"
HEARTBEAT = 15.0  # seconds of silence before a comment keeps proxies from closing the stream
PATIENCE = 10.0  # seconds one write may take before the client is given up
RECONNECT = 3000  # milliseconds a browser waits before it comes back


def event_id(report: CycleReport) -> str:
    """Unique over restarts of the watch, which count their cycles from one again."""
    return f"{report.number}-{report.sweep}"


def encode(item: CycleReport | Lost) -> bytes:
    if isinstance(item, Lost):
        return b"event: lost\ndata: %b\n\n" % wire.encode({"count": item.count})
    return b"id: %b\nevent: cycle\ndata: %b\n\n" % (event_id(item).encode(), wire.encode(wire.cycle(item)))


async def events(request: web.Request) -> web.StreamResponse:
    """The latest cycle at once, unless Last-Event-ID says that the client has it; then each as it ends. A client that
    is too slow loses the oldest and is told how many."""
    board = request.app[SERVICES].board
    with board.subscribe() as subscription:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
        await response.prepare(request)
        await _send(response, b"retry: %d\n\n" % RECONNECT)
        if board.latest and request.headers.get("Last-Event-ID") != event_id(board.latest):
            subscription.push(board.latest)
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT):
                    item = await subscription.next()
            except TimeoutError:
                await _send(response, b": still here\n\n")
                continue
            if item is None:
                return response
            await _send(response, encode(item))


async def _send(response: web.StreamResponse, text: bytes) -> None:
    """Raises ConnectionError when the client is gone, or does not read."""
    try:
        async with asyncio.timeout(PATIENCE):
            await response.write(text)
    except TimeoutError:
        raise ConnectionResetError("the client does not read its events") from None


ROUTES = [web.get(PATH, events, allow_head=False)]
