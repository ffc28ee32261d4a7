"""One worker process: session, slots, handlers, and its own health endpoints."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping
from contextlib import AsyncExitStack

from gradewatch.app.health import Counting, served
from gradewatch.app.stores import make_store, opener
from gradewatch.config import Settings
from gradewatch.http.port import reserve, url_of
from gradewatch.metrics.worker import WorkerMetrics
from gradewatch.platforms.identity import Identity
from gradewatch.platforms.notify import Notifier, notifying
from gradewatch.platforms.orphans import die_with_parent
from gradewatch.ports import Store
from gradewatch.probes.environment import chosen
from gradewatch.version import __version__
from gradewatch.worker.context import Handler
from gradewatch.worker.runtime import Worker

ORPHAN_MARGIN = 5.0  # seconds beyond the drain that a worker whose supervisor is gone may take


def grading_handlers(
    settings: Settings, store: Store, environ: Mapping[str, str], metrics: WorkerMetrics, closing: AsyncExitStack
) -> Mapping[str, Handler]:
    """What this process can do: grade papers with what is installed here and whose key is set. `closing` closes what it
    opens. Raises ConfigError."""
    from gradewatch.app.providers import grade_handler
    from gradewatch.worker.payload import GRADE

    return {GRADE: grade_handler(settings, store, environ, metrics.providers, closing)}


def claimable(settings: Settings) -> tuple[str, ...]:
    """The queues a worker claims from."""
    return tuple(name for name, queue in settings.queues.items() if not queue.paused)


async def work(settings: Settings, *, stop: asyncio.Event, hurry: asyncio.Event | None = None) -> None:
    """Run one worker until `stop`, then drain; `hurry` cuts the drain short. Outlasts any outage of the store."""
    die_with_parent(grace=settings.worker.drain + ORPHAN_MARGIN)
    identity, notifier = Identity.take(), Notifier.take()
    reserved = reserve(settings.http.host, settings.worker.http_port, "worker.http_port")
    metrics = WorkerMetrics(providers=chosen(os.environ, settings.worker.ocr, settings.worker.grading))
    store, closing = make_store(settings), AsyncExitStack()
    worker = Worker(
        store,
        opener(settings),
        name=identity.target or f"{socket.gethostname()}-{os.getpid()}",
        queues=claimable(settings),
        handlers=grading_handlers(settings, store, os.environ, metrics, closing),
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
        async with served(reserved, worker, metrics), notifying(notifier, lambda: _status(worker)):
            await worker.run()
    finally:
        for task in asking:
            task.cancel()
        await closing.aclose()
        await store.close()


def _status(worker: Worker) -> str:
    """One line for `systemctl status`. A worker without its store is ready all the same: it waits, and restarting it
    would bring no store back."""
    if worker.session_id is None:
        return "waiting for the store" if not worker.store_reachable else "no session is open"
    return f"{worker.busy} of {worker.slots} slots busy" + ("" if worker.store_reachable else "; the store is away")


async def _ask(worker: Worker, event: asyncio.Event) -> None:
    await event.wait()
    worker.request_drain()
