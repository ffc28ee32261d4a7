"""Life signs for an orchestrator: /livez and /startupz look at memory alone, /readyz asks the store, sparingly."""

from __future__ import annotations

from aiohttp import web

from gradewatch.http.respond import respond
from gradewatch.http.services import SERVICES
from gradewatch.http.verdict import life, stuck
from gradewatch.model import Unknown


def verdict(problem: str = "") -> web.Response:
    """200 {"status": "ok"}, or 503 with the reason."""
    code, body = life(problem)
    return respond(body, code)


async def livez(request: web.Request) -> web.Response:
    board = request.app[SERVICES].board
    return verdict(stuck(board.mono() - board.last_tick_mono))


async def startupz(request: web.Request) -> web.Response:
    return verdict("" if request.app[SERVICES].board.latest else "the first cycle has not ended yet")


async def readyz(request: web.Request) -> web.Response:
    """A store error becomes a 503 that says which (see problems.py). A store that can be read and not written is known
    to the cycle alone, which writes."""
    services = request.app[SERVICES]
    await services.reachable.get()
    seen = services.board.latest.snapshot.store if services.board.latest else None
    return verdict(f"the last cycle could not use the store: {seen.reason}" if isinstance(seen, Unknown) else "")


ROUTES = [
    web.get("/livez", livez),
    web.get("/startupz", startupz),
    web.get("/readyz", readyz),
]
