"""GET /api/events: each cycle as a server-sent event (the WHATWG HTML standard, section 9.2)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from aiohttp import web

from gradewatch.board import MAX_BACKLOG, Board, Lost, Subscription, TooManySubscribers
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


class Streams:
    """The open streams of one server. Each report is encoded once for all of them."""

    def __init__(self) -> None:
        self._encoded: deque[tuple[CycleReport, bytes]] = deque(maxlen=MAX_BACKLOG)
        self._open: dict[Subscription, web.Request] = {}

    def encode(self, item: CycleReport | Lost) -> bytes:
        if isinstance(item, Lost):
            return encode(item)
        for report, text in reversed(self._encoded):
            if report is item:
                return text
        self._encoded.append((item, encode(item)))
        return self._encoded[-1][1]

    @contextmanager
    def admitted(self, request: web.Request) -> Iterator[Subscription]:
        """Raises TooManySubscribers."""
        with self._subscribed(request.app[SERVICES].board) as subscription:
            self._open[subscription] = request
            try:
                yield subscription
            finally:
                del self._open[subscription]

    def _subscribed(self, board: Board) -> Subscription:
        """One that left is noticed at the next write only; where there is no room, its place is given away now."""
        try:
            return board.subscribe()
        except TooManySubscribers:
            for subscription, request in tuple(self._open.items()):
                if request.transport is None or request.transport.is_closing():
                    subscription.close()
            return board.subscribe()


STREAMS = web.AppKey("streams", Streams)


async def events(request: web.Request) -> web.StreamResponse:
    """The latest cycle at once, unless Last-Event-ID says that the client has it; then each as it ends. A client that
    is too slow loses the oldest and is told how many."""
    board, streams = request.app[SERVICES].board, request.app[STREAMS]
    with streams.admitted(request) as subscription:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
        await response.prepare(request)
        if board.latest and request.headers.get("Last-Event-ID") != event_id(board.latest):
            subscription.push(board.latest)
        with suppress(ConnectionError):  # the reader left: a tab was closed
            await _follow(subscription, response, streams)
        return response


async def _follow(subscription: Subscription, response: web.StreamResponse, streams: Streams) -> None:
    """Until the subscription is closed. Raises ConnectionError when the reader is gone."""
    await _send(response, b"retry: %d\n\n" % RECONNECT)
    while True:
        try:
            async with asyncio.timeout(HEARTBEAT):
                item = await subscription.next()
        except TimeoutError:
            await _send(response, b": still here\n\n")
            continue
        if item is None:
            return
        await _send(response, streams.encode(item))


async def _send(response: web.StreamResponse, text: bytes) -> None:
    """Raises ConnectionError when the client is gone, or does not read."""
    try:
        async with asyncio.timeout(PATIENCE):
            await response.write(text)
    except TimeoutError:
        raise ConnectionResetError("the client does not read its events") from None


ROUTES = [web.get(PATH, events, allow_head=False)]
