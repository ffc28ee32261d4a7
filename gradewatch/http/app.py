"""The application of a process that watches, and the small one of a worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable

from aiohttp import web
from aiohttp.typedefs import Middleware

from gradewatch.board import Board
from gradewatch.config import Settings
from gradewatch.http import alerts, api, control, events, health, openapi
from gradewatch.http.external import ExternalWorkers
from gradewatch.http.page import handlers as page
from gradewatch.http.page.assets import assets
from gradewatch.http.page.overview import Overview
from gradewatch.http.problems import guarded
from gradewatch.http.services import SERVICES, Services
from gradewatch.http.shared import Shared
from gradewatch.http.status import worker_status
from gradewatch.http.verdict import stuck
from gradewatch.metrics.watch import WatchMetrics
from gradewatch.metrics.worker import WorkerMetrics
from gradewatch.ports import Store

STATUS_TTL = 1.0  # seconds; 100 pollers cost the store one question
READY_TTL, READY_DEADLINE = 1.0, 2.0

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Server": "gradewatch",
}
OWN = ("Content-Security-Policy", "Cache-Control")  # what a handler may set otherwise: the page and its assets do


def make_app(board: Board, store: Store, settings: Settings, metrics: WatchMetrics) -> web.Application:
    """Every path of the watch. Reports reach `metrics` through the board; rendering runs as long as the app does."""
    board.listen(metrics.publish)
    queues = list(settings.queues)
    services = Services(
        board=board,
        store=store,
        settings=settings,
        metrics=metrics,
        external=ExternalWorkers(store, queues),
        reachable=Shared(lambda: store.check(queues), ttl=READY_TTL, deadline=READY_DEADLINE),
        status=Shared(
            lambda: worker_status(board, store, settings), ttl=STATUS_TTL, deadline=settings.store.timeout + 1.0
        ),
        overview=Overview(board, store, settings),
    )
    app = _bare([guarded(frozenset({events.PATH})), control.authorize])
    app[SERVICES], app[events.STREAMS] = services, events.Streams()
    for module in (page, health, api, events, control, alerts, openapi):
        app.add_routes(module.ROUTES)
    app.cleanup_ctx.append(_background)
    app.on_shutdown.append(_end_streams)
    return app


def make_worker_app(
    metrics: WorkerMetrics, *, pulse_age: Callable[[], float], not_ready: Callable[[], str]
) -> web.Application:
    """/livez, /readyz and /metrics of a worker process, all from memory.

    `pulse_age` is how old the loop's last sign of life is, in seconds; `not_ready` why it takes no jobs, or "".
    """

    async def livez(request: web.Request) -> web.Response:
        return health.verdict(stuck(pulse_age()))

    async def readyz(request: web.Request) -> web.Response:
        return health.verdict(not_ready())

    async def scrape(request: web.Request) -> web.Response:
        body, content_type = metrics.scrape(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    app = _bare([guarded(frozenset())])
    app.add_routes([web.get("/livez", livez), web.get("/readyz", readyz), web.get("/metrics", scrape)])
    return app


def _bare(middlewares: Iterable[Middleware]) -> web.Application:
    app = web.Application(middlewares=list(middlewares))
    app.on_response_prepare.append(_secure)
    return app


async def _secure(request: web.Request, response: web.StreamResponse) -> None:
    own = {name: response.headers[name] for name in OWN if name in response.headers}
    response.headers.update(HEADERS | own)


async def _background(app: web.Application) -> AsyncIterator[None]:
    rendering = asyncio.create_task(app[SERVICES].metrics.run())
    compressing = asyncio.create_task(asyncio.to_thread(assets))  # so that the first visitor does not wait for it
    yield
    rendering.cancel()
    await asyncio.wait([rendering, compressing])
    services = app[SERVICES]
    for shared in (services.reachable, services.status, services.external, services.overview):
        await shared.close()


async def _end_streams(app: web.Application) -> None:
    app[SERVICES].board.close_subscriptions()
