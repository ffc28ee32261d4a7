"""One worker process: session, slots, handlers, and its own health endpoints."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import structlog

from gradewatch.app.health import Counting, served
from gradewatch.app.stores import make_store, opener
from gradewatch.config import Settings
from gradewatch.errors import StoreError
from gradewatch.http.port import reserve, url_of
from gradewatch.metrics.local import ProviderMetrics
from gradewatch.metrics.worker import WorkerMetrics
from gradewatch.model import NewSession, rescued
from gradewatch.platforms.identity import Identity
from gradewatch.platforms.notify import Notifier, notifying
from gradewatch.platforms.orphans import die_with_parent
from gradewatch.ports import Store
from gradewatch.probes.environment import chosen
from gradewatch.version import __version__
from gradewatch.worker.context import Handler
from gradewatch.worker.crash import crashed
from gradewatch.worker.observer import Observer
from gradewatch.worker.runtime import Worker, WorkerStore

log = structlog.get_logger(__name__)

ORPHAN_MARGIN = 5.0  # seconds beyond the drain that a worker whose supervisor is gone may take


def grading_handlers(
    settings: Settings, store: Store, environ: Mapping[str, str], metrics: ProviderMetrics, closing: AsyncExitStack
) -> Mapping[str, Handler]:
    """What this process can do: grade papers with what is installed here and whose key is set. `closing` closes what it
    opens. Raises ConfigError."""
    from gradewatch.app.providers import grade_handler
    from gradewatch.worker.payload import GRADE

    return {GRADE: grade_handler(settings, store, environ, metrics, closing)}


def claimable(settings: Settings) -> tuple[str, ...]:
    """The queues a worker claims from."""
    return tuple(name for name, queue in settings.queues.items() if not queue.paused and queue.foreign is None)


def heartbeat_timeout(settings: Settings) -> float:
    """The longest silence that every queue allows, in seconds."""
    return min(queue.timeouts.heartbeat for queue in settings.queues.values())


def own_name() -> str:
    """What a worker is called whom nobody gave a name."""
    return f"{socket.gethostname()}-{os.getpid()}"


def make_worker(
    settings: Settings,
    store: WorkerStore,
    handlers: Mapping[str, Handler],
    *,
    name: str,
    queues: Sequence[str],
    observer: Observer | None = None,
    rescue: bool = False,
    identity: Identity | None = None,
    http_url: str = "",
) -> Worker:
    """A worker over an open store of these settings. `rescue`: it stands in for those who should work these queues, and
    its session says so."""
    identity = identity or Identity()
    return Worker(
        store,
        opener(settings),
        name=name,
        queues=queues,
        serves=rescued(queues) if rescue else None,
        handlers=handlers,
        settings=settings.worker,
        heartbeat_timeout=heartbeat_timeout(settings),
        version=__version__,
        target=identity.target,
        incarnation=identity.incarnation,
        http_url=http_url,
        observer=observer,
    )


async def work(
    settings: Settings,
    *,
    stop: asyncio.Event,
    hurry: asyncio.Event | None = None,
    rescue: Sequence[str] = (),
) -> None:
    """Run one worker until `stop`, then drain; `hurry` cuts the drain short. Outlasts any outage of the store. With
    `rescue` it works those queues as a rescue worker."""
    die_with_parent(grace=settings.worker.drain + ORPHAN_MARGIN)
    identity, notifier = Identity.take(), Notifier.take()
    reserved = reserve(settings.http.host, settings.worker.http_port, "worker.http_port")
    metrics = WorkerMetrics(providers=chosen(os.environ, settings.worker.ocr, settings.worker.grading))
    store, closing = make_store(settings), AsyncExitStack()
    worker = make_worker(
        settings,
        store,
        grading_handlers(settings, store, os.environ, metrics.providers, closing),
        name=identity.target or own_name(),
        queues=rescue or claimable(settings),
        observer=Counting(metrics),
        rescue=bool(rescue),
        identity=identity,
        http_url=url_of(reserved),
    )
    try:
        notice = notifying(notifier, lambda: _status(worker))
        async with served(reserved, worker, metrics), notice, drained_by(worker, stop, hurry):
            await worker.run()
    finally:
        await closing.aclose()
        await store.close()


async def grade(
    settings: Settings,
    *,
    name: str,
    environ: Mapping[str, str],
    metrics: WorkerMetrics,
    drain: asyncio.Event,
    cut: asyncio.Event,
) -> None:
    """One grading worker inside somebody else's process, until `drain`; `cut` ends the drain at once. Outlasts any
    outage of the store. Raises ConfigError, and what is a fault of this program."""
    async with AsyncExitStack() as closing:
        store = make_store(settings)
        closing.push_async_callback(store.close)
        queues = claimable(settings)
        try:
            handlers = grading_handlers(settings, store, environ, metrics.providers, closing)
        except Exception as error:
            await _record_crash(store, settings, name, queues, error)
            raise
        worker = make_worker(settings, store, handlers, name=name, queues=queues, observer=Counting(metrics))
        async with drained_by(worker, drain, cut):
            await worker.run()


async def _record_crash(store: Store, settings: Settings, name: str, queues: Sequence[str], error: Exception) -> None:
    """A worker that cannot even begin has a session too: one that tells why."""
    new = NewSession(name, tuple(queues), settings.worker.slots, socket.gethostname(), os.getpid(), __version__)
    try:
        await store.end_session(await store.open_session(new), crashed(error))
    except StoreError as refusal:
        log.warning("crash not on record", worker=name, error=str(refusal))


@asynccontextmanager
async def drained_by(worker: Worker, *events: asyncio.Event | None) -> AsyncIterator[None]:
    """Have the worker drain at the first of these events, and hurry at the second, for the length of the context."""
    asking = [asyncio.create_task(_ask(worker, event)) for event in events if event is not None]
    try:
        yield
    finally:
        for task in asking:
            task.cancel()


def _status(worker: Worker) -> str:
    """One line for `systemctl status`. A worker without its store is ready all the same: it waits, and restarting it
    would bring no store back."""
    if worker.session_id is None:
        return "waiting for the store" if not worker.store_reachable else "no session is open"
    return f"{worker.busy} of {worker.slots} slots busy" + ("" if worker.store_reachable else "; the store is away")


async def _ask(worker: Worker, event: asyncio.Event) -> None:
    await event.wait()
    worker.request_drain()
