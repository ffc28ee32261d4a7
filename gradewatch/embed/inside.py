"""A worker and its routes inside an application, for as long as the application runs. Free of any framework."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from gradewatch.app import claimable, make_store, prepare_store
from gradewatch.config import Settings, load
from gradewatch.embed.outlook import Outlook, keep_ticking
from gradewatch.embed.seat import make_seat
from gradewatch.embed.supervisor import Supervisor
from gradewatch.embed.work import CoroutineWork, GradingWork, Work, Worker, arguments
from gradewatch.errors import ConfigError, StoreError
from gradewatch.metrics.worker import WorkerMetrics
from gradewatch.probes.environment import chosen

log = structlog.get_logger(__name__)

GRADING = "grading"
SCOPES = ("process", "pod", "deployment")


@dataclass(frozen=True)
class Plan:
    """What is to run inside, checked: a wrong one is told before the application serves anybody."""

    settings: Settings
    worker: Worker | str | None
    name: str
    queue: str
    scope: str
    drain: float


def plan(
    worker: Worker | str | None,
    *,
    name: str = "",
    queue: str = "",
    scope: str | None = None,
    drain: float | None = None,
    config: str | os.PathLike[str] | None = None,
) -> Plan:
    """Raises ConfigError."""
    settings = load(Path(config) if config is not None else None).require()
    scope = scope or settings.embed.scope
    problems = []
    if scope not in SCOPES:
        problems.append(f"scope is {scope!r}: it must be {', '.join(SCOPES)}")
    if queue and queue not in settings.queues:
        problems.append(f"the queue {queue!r} is not watched; the settings have {', '.join(settings.queues)}")
    if isinstance(worker, str) and worker != "grading":
        problems.append(f'the worker is {worker!r}: it must be "grading", a coroutine function, or None')
    if worker == GRADING and not claimable(settings):
        problems.append("the grading worker has no queue to work: all are paused, or another application's")
    if problems:
        raise ConfigError(problems)
    if worker is not None and not isinstance(worker, str):
        arguments(worker)
        name = name or getattr(worker, "__name__", "worker")
    queue = queue or next(iter(settings.queues))
    return Plan(settings, worker, name or GRADING, queue, scope, settings.worker.drain if drain is None else drain)


@asynccontextmanager
async def inside(plan: Plan, environ: Mapping[str, str]) -> AsyncIterator[Outlook]:
    """The worker runs, supervised, and the outlook answers, for the length of the context; then the worker drains. The
    application starts even while the store is away."""
    settings = plan.settings
    metrics = WorkerMetrics(providers=chosen(environ, settings.worker.ocr, settings.worker.grading))
    supervisors: list[Supervisor] = []

    def own() -> WorkerMetrics | None:
        alone = plan.scope != "process" and any(each.running for each in supervisors)
        return metrics if alone else None

    async with AsyncExitStack() as stack:
        await _prepare(settings)
        outlook = Outlook(settings, environ, own=own)
        stack.push_async_callback(outlook.close)
        ticking = asyncio.create_task(keep_ticking(outlook), name="gradewatch-tick")
        stack.callback(ticking.cancel)
        if plan.worker is not None:
            supervisors.append(await stack.enter_async_context(_supervised(plan, environ, metrics)))
        yield outlook


@asynccontextmanager
async def _supervised(plan: Plan, environ: Mapping[str, str], metrics: WorkerMetrics) -> AsyncIterator[Supervisor]:
    leases = make_store(plan.settings)
    seat = make_seat(plan.scope, plan.name, leases, plan.settings.embed.lease)
    supervisor, stop = Supervisor(_work(plan, environ, metrics), seat), asyncio.Event()
    running = asyncio.create_task(supervisor.run(stop), name=f"supervisor of {plan.name}")
    try:
        yield supervisor
    finally:
        stop.set()
        try:
            await running
        finally:
            await leases.close()


def _work(plan: Plan, environ: Mapping[str, str], metrics: WorkerMetrics) -> Work:
    host = socket.gethostname()
    name = f"{plan.name}-{host}-{os.getpid()}" if plan.scope == "process" else f"{plan.name}-{host}"
    if plan.worker is None or isinstance(plan.worker, str):
        return GradingWork(plan.settings, name, environ, metrics)
    return CoroutineWork(plan.settings, plan.worker, name, plan.queue, plan.drain, metrics)


async def _prepare(settings: Settings) -> None:
    try:
        await prepare_store(settings)
    except StoreError as error:
        log.error("the store cannot be used yet; the application starts, and it is tried again", error=str(error))
