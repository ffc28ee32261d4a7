"""Gradewatch inside Flask: a blueprint with health, status and metrics.

Safe where a server forks its workers: before the first request nothing is opened and no thread is started, and each
process has its own of both.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from pathlib import Path

from flask import Blueprint, Response, request

from gradewatch.config import Settings, load
from gradewatch.embed.loop import LoopThread
from gradewatch.embed.outlook import PATHS, Answer, Outlook, keep_ticking, refusal
from gradewatch.errors import StoreUnavailable

MARGIN = 3.0  # seconds beyond the store's own deadlines after which a request gives up on the background loop


def blueprint(*, config: str | os.PathLike[str] | None = None, name: str = "gradewatch") -> Blueprint:
    """GET /api/worker_status, /livez, /readyz and /metrics, to be registered with or without a `url_prefix`. The store
    is that of gradewatch.toml (or `config`) and of the environment. Raises ConfigError."""
    settings = load(Path(config) if config is not None else None).require()
    made, asked = Blueprint(name, __name__), PerProcess(settings)
    for path in PATHS:
        made.add_url_rule(path, endpoint=path.strip("/").replace("/", "_"), view_func=_view(path, asked))
    return made


class PerProcess:
    """The outlook of this process, on a loop of its own; made at the first request after a fork."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._loop: LoopThread | None = None
        self._outlook: Outlook | None = None
        os.register_at_fork(after_in_child=self._forget)

    def answer(self, path: str, accept: str) -> Answer:
        """Within a deadline, whatever the store does."""
        loop, outlook = self._here()
        if path == "/livez":
            return outlook.livez()  # of memory, and of the loop's own ticks: a loop that is stuck must not be asked
        patience = 2 * (self._settings.store.timeout + 1.0) + MARGIN
        try:
            return loop.run(outlook.answer(path, accept), patience)
        except TimeoutError:
            return refusal(StoreUnavailable(f"the store was not asked within {patience:g} s: this process is stuck"))

    def _here(self) -> tuple[LoopThread, Outlook]:
        with self._lock:
            if self._loop is None or self._outlook is None:
                self._loop = LoopThread("gradewatch-flask")
                self._outlook = self._loop.run(self._made(), MARGIN)
            return self._loop, self._outlook

    async def _made(self) -> Outlook:
        """In the loop that it will belong to."""
        outlook = Outlook(self._settings, os.environ)
        self._ticking = asyncio.create_task(keep_ticking(outlook))
        return outlook

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._loop = self._outlook = None


def _view(path: str, asked: PerProcess) -> Callable[[], Response]:
    def view() -> Response:
        told = asked.answer(path, request.headers.get("Accept", ""))
        return Response(told.body, told.status, {**told.headers, "Content-Type": told.content_type})

    return view
