"""The watch: probes, cycle, remedies, chores and HTTP, wired together."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import structlog

from gradewatch.app.platforms import leases_of, make_platform, opened_platform
from gradewatch.app.rescuing import Rescuer, WithRescue
from gradewatch.app.stores import foreign_side, make_store
from gradewatch.board import Board
from gradewatch.clock import SystemClock
from gradewatch.config import RemediationSettings, Settings
from gradewatch.cycle import Cycle
from gradewatch.errors import StoreError
from gradewatch.metrics.watch import WatchMetrics
from gradewatch.model import CycleReport, Right
from gradewatch.ports import ChecksRights, Clock, HearsReports, Managed, Store, WorkerControl
from gradewatch.probes.observer import Observer
from gradewatch.remediation.lease import ActingLease
from gradewatch.remediation.remedies import Remedies

log = structlog.get_logger(__name__)

PULSE = 0.5  # seconds between two life signs of the event loop
STUCK = 60.0  # seconds without a cycle, beyond three intervals, after which the loop's pulse stops


def make_cycle(
    settings: Settings,
    store: Store,
    platform: WorkerControl,
    board: Board,
    *,
    environ: Mapping[str, str],
    clock: Clock | None = None,
    single: bool = False,
    check_providers: bool = True,
    rescuer: Rescuer | None = None,
) -> Cycle:
    """A cycle over this store and platform, woken by the platform's events and the board's readers."""
    clock = clock or SystemClock()
    seen = platform if rescuer is None else WithRescue(platform, rescuer)
    holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
    leases = leases_of(platform, store)
    cycle = Cycle(
        Observer(
            store,
            store,
            seen,
            environ,
            settings,
            clock,
            single=single,
            troubles=store,
            check_providers=check_providers,
            foreign=foreign_side(store),
        ),
        Remedies(store, seen, settings.remediation, by=holder, rescuer=rescuer),
        ActingLease(leases, holder, settings.remediation.lease, clock, in_store=leases is store),
        board,
        settings,
        clock,
    )
    seen.on_event(lambda: cycle.wake("platform"))
    board.on_wake(cycle.wake)
    if isinstance(platform, HearsReports):
        board.listen(platform.hear)
    return cycle


async def watch(
    settings: Settings,
    *,
    environ: Mapping[str, str],
    stop: asyncio.Event,
    platform: WorkerControl | None = None,
    board: Board | None = None,
    config: Path | None = None,
) -> None:
    """Watch until `stop`. Starts even while the store or the platform is away, and says so. Without a `platform`, it is
    that of the settings. Raises GradewatchError when the HTTP port cannot be had."""
    if platform is not None:
        await _watch(settings, environ, stop, platform, board or Board(), config)
        return
    async with opened_platform(settings, environ) as opened:
        await _watch(settings, environ, stop, opened, board or Board(), config)


async def _watch(
    settings: Settings,
    environ: Mapping[str, str],
    stop: asyncio.Event,
    platform: WorkerControl,
    board: Board,
    config: Path | None,
) -> None:
    store = make_store(settings)
    metrics = WatchMetrics(settings, store=store.kind)
    rescuer = Rescuer(settings, config=config, environ=environ) if settings.watch.rescue else None
    cycle = make_cycle(settings, store, platform, board, environ=environ, rescuer=rescuer)
    try:
        await _try_open(store)
        async with _serving(settings, board, store, metrics), _chores(settings, store), asyncio.TaskGroup() as group:
            pulse = group.create_task(_pulse(board, cycle, settings))
            await cycle.run(stop)
            pulse.cancel()
    finally:
        if rescuer is not None:
            await rescuer.close()
        await store.close()


async def _try_open(store: Store) -> None:
    try:
        await store.open()
    except StoreError as error:
        more = {"fix": error.fix} if error.fix else {}
        log.error("the store cannot be used yet; the watch goes on and tries again", error=str(error), **more)


async def _pulse(board: Board, cycle: Cycle, settings: Settings) -> None:
    """Sign of life for /livez: stops when the event loop hangs, and when the cycle has hung for long."""
    limit = STUCK + 3 * settings.watch.interval
    while True:
        if cycle.idle_seconds < limit:
            board.tick()
        await asyncio.sleep(PULSE)


@asynccontextmanager
async def _serving(settings: Settings, board: Board, store: Store, metrics: WatchMetrics) -> AsyncIterator[None]:
    from gradewatch.http import make_app, serve

    app = make_app(board, store, settings, metrics)
    server = await serve(app, settings.http.host, settings.http.port)
    log.info("watch started", url=server.url, store=store.kind, queues=sorted(settings.queues))
    try:
        yield
    finally:
        board.close_subscriptions()
        await server.close()


@asynccontextmanager
async def _chores(settings: Settings, store: Store) -> AsyncIterator[None]:
    from gradewatch.chores import Chores

    chores = Chores(store, store, settings)
    await chores.start()
    try:
        yield
    finally:
        chores.stop()


async def once(settings: Settings, *, environ: Mapping[str, str], dry_run: bool = False) -> CycleReport:
    """One acting cycle: its caller is the second pair of eyes, so it does not wait to see anything twice."""
    if dry_run:
        settings = _mode(settings, "dry-run")
    return await _single(settings, environ)


async def look(settings: Settings, *, environ: Mapping[str, str]) -> CycleReport:
    """One diagnosis that changes nothing, not even the lease."""
    return await _single(settings, environ, acting=False)


async def _single(settings: Settings, environ: Mapping[str, str], *, acting: bool = True) -> CycleReport:
    async with opened_platform(settings, environ, single=True) as platform:
        store = make_store(settings)
        cycle = make_cycle(settings, store, platform, Board(), environ=environ, single=True)
        try:
            await _try_open(store)
            return await cycle.run_single(acting=acting)
        finally:
            await store.close()


async def rights(settings: Settings, *, environ: Mapping[str, str]) -> Sequence[Right]:
    """The rights that the watch needs on its platform, and whether it has them; none where no platform gives any.
    Raises PlatformError when that cannot be asked."""
    platform = make_platform(settings, environ, single=True)
    try:
        return await platform.rights() if isinstance(platform, ChecksRights) else ()
    finally:
        if isinstance(platform, Managed):
            await platform.close()


def _mode(settings: Settings, mode: str) -> Settings:
    remediation: RemediationSettings = replace(settings.remediation, mode=mode)
    return replace(settings, remediation=remediation)
