"""One worker process: session, slots, handlers, and its own health endpoints."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping

from gradewatch.app.health import Counting, served
from gradewatch.app.stores import make_store, opener
from gradewatch.config import Settings
from gradewatch.http.port import reserve, url_of
from gradewatch.metrics.worker import WorkerMetrics
from gradewatch.platforms.identity import Identity
from gradewatch.platforms.orphans import die_with_parent
from gradewatch.version import __version__
from gradewatch.worker.context import Handler
from gradewatch.worker.runtime import Worker

ORPHAN_MARGIN = 5.0  # seconds beyond the drain that a worker whose supervisor is gone may take


def grading_handlers(settings: Settings) -> Mapping[str, Handler]:
    """What this version can do: grade papers with what is installed here."""
    from gradewatch.worker.grading import RubricGrader
    from gradewatch.worker.ocr import default_ocr
    from gradewatch.worker.payload import GRADE
    from gradewatch.worker.pipeline import make_grade_handler

    return {GRADE: make_grade_handler(default_ocr(), RubricGrader(settings.worker.review_below))}


def claimable(settings: Settings) -> tuple[str, ...]:
    """The queues a worker claims from."""
    return tuple(name for name, queue in settings.queues.items() if not queue.paused)


async def work(settings: Settings, *, stop: asyncio.Event, hurry: asyncio.Event | None = None) -> None:
    """Run one worker until `stop`, then drain; `hurry` cuts the drain short. Outlasts any outage of the store."""
    die_with_parent(grace=settings.worker.drain + ORPHAN_MARGIN)
    identity = Identity.take()
    reserved = reserve(settings.http.host, settings.worker.http_port, "worker.http_port")
    metrics = WorkerMetrics()
    store = make_store(settings)
    worker = Worker(
        store,
        opener(settings),
        name=identity.target or f"{socket.gethostname()}-{os.getpid()}",
        queues=claimable(settings),
        handlers=grading_handlers(settings),
        settings=settings.worker,
        heartbeat_timeout=min(q.timeouts.heartbeat for q in settings.queues.values()),
        version=__version__,
        target=identity.target,
        incarnation=identity.incarnation,
        http_url=url_of(reserved),
        observer=Counting(metrics),
    )
    asking = [asyncio.create_task(_ask(worker, event)) for event in (stop, hurry) if event is not None]
    try:
        async with served(reserved, worker, metrics):
            await worker.run()
    finally:
        for task in asking:
            task.cancel()
        await store.close()


async def _ask(worker: Worker, event: asyncio.Event) -> None:
    await event.wait()
    worker.request_drain()
