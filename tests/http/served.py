"""A real server on a free port over a real SQLite store, and what the cycle would have put on the board."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
from builders import report, snapshot

from gradewatch.board import Board
from gradewatch.config import Settings
from gradewatch.http import make_app, serve
from gradewatch.metrics.watch import WatchMetrics
from gradewatch.model import CycleReport, NewJob, NewSession

TOKEN = "s3cret-token"


@dataclass
class Answer:
    status: int
    headers: Any
    body: bytes
    json: Any


class Client:
    """Asks the server; `woken` holds the reasons the cycle was woken for."""

    def __init__(self, http: aiohttp.ClientSession, url: str, board: Board, store: Any, settings: Settings) -> None:
        self.http, self.url, self.board, self.store, self.settings = http, url, board, store, settings
        self.woken: list[str] = []
        board.on_wake(self.woken.append)

    async def ask(self, method: str, path: str, **how: Any) -> Answer:
        async with self.http.request(method, self.url + path, **how) as response:
            body = await response.read()
            is_json = response.content_type == "application/json" and body
            return Answer(response.status, response.headers, body, await response.json() if is_json else None)

    async def get(self, path: str, **how: Any) -> Answer:
        return await self.ask("GET", path, **how)

    async def post(self, path: str, body: Any = None, *, token: str | None = TOKEN, **how: Any) -> Answer:
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        return await self.ask("POST", path, json=body, headers=headers, **how)

    async def submit(self, count: int = 1, **changes: Any) -> list[str]:
        return await self.store.submit([replace(NewJob("grade", {"n": n}), **changes) for n in range(count)])

    async def session(self, name: str = "w1", slots: int = 2) -> str:
        return await self.store.open_session(NewSession(name, ("default",), slots, "host-1", 77, "0.1.0"))

    def publish(self, one: CycleReport | None = None) -> CycleReport:
        """A report as fresh as one from a cycle that has just ended."""
        fresh = one or report(snapshot(mono=time.monotonic()))
        self.board.publish(fresh)
        return fresh


async def started(store: Any, settings: Settings) -> AsyncIterator[Client]:
    """A client of a server over `store`, both closed at the end."""
    board = Board()
    app = make_app(board, store, settings, WatchMetrics(settings, store="sqlite"))
    server = await serve(app, "127.0.0.1", 0)
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as http:
            yield Client(http, server.url, board, store, settings)
    finally:
        await server.close()
