"""A worker's own /livez, /readyz and /metrics, and what it counts for them."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module

import structlog

from gradewatch.metrics.worker import WorkerMetrics
from gradewatch.worker.observer import Observer
from gradewatch.worker.runtime import Worker

log = structlog.get_logger(__name__)

HEAD_START = 0.5  # seconds the worker has to claim before the HTTP server's import competes with it


class Counting(Observer):
    """Passes what the worker tells of itself on to its metrics."""

    def __init__(self, metrics: WorkerMetrics) -> None:
        self._metrics = metrics

    def on_session(self, is_open: bool) -> None:
        self._metrics.up(is_open)

    def on_beat(self) -> None:
        self._metrics.beat()

    def on_paper_saved(self, status: str) -> None:
        self._metrics.paper(status)


@asynccontextmanager
async def served(reserved: socket.socket, worker: Worker, metrics: WorkerMetrics) -> AsyncIterator[None]:
    """Serve the worker's health on the reserved port for the length of the context."""
    serving = asyncio.create_task(_serve(reserved, worker, metrics), name="worker-health")
    try:
        yield
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        reserved.close()


async def _serve(reserved: socket.socket, worker: Worker, metrics: WorkerMetrics) -> None:
    await asyncio.sleep(HEAD_START)
    http = await asyncio.to_thread(import_module, "gradewatch.http")
    await asyncio.to_thread(getattr, http, "make_worker_app")
    app = http.make_worker_app(
        metrics,
        pulse_age=lambda: time.monotonic() - worker.last_tick_mono,
        not_ready=lambda: "" if worker.session_id else "no session is open: the store is away, or the worker drains",
    )
    server = await http.serve_on(reserved, app)
    log.debug("worker health served", url=server.url)
    try:
        await asyncio.Event().wait()
    finally:
        await server.close()
