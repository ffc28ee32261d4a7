"""Life signs for an orchestrator: /livez and /startupz look at memory alone, /readyz asks the store, sparingly."""

from __future__ import annotations

from aiohttp import web

from gradewatch.http.respond import respond
from gradewatch.http.services import SERVICES

STUCK_AFTER = 30.0  # seconds without a tick of the loop


def verdict(problem: str = "") -> web.Response:
    """200 {"status": "ok"}, or 503 with the reason."""
    return respond({"status": "failing", "reason": problem}, 503) if problem else respond({"status": "ok"})


def stuck(age: float) -> str:
    """What /livez says of a loop whose last tick is `age` seconds old; "" while that is well."""
    return f"this process's loop has not ticked for {age:.0f} s; restart it" if age > STUCK_AFTER else ""


async def livez(request: web.Request) -> web.Response:
    board = request.app[SERVICES].board
    return verdict(stuck(board.mono() - board.last_tick_mono))


async def startupz(request: web.Request) -> web.Response:
    return verdict("" if request.app[SERVICES].board.latest else "the first cycle has not ended yet")


async def readyz(request: web.Request) -> web.Response:
    """A store error becomes a 503 that says which (see problems.py)."""
    await request.app[SERVICES].reachable.get()
    return verdict()


ROUTES = [
    web.get("/livez", livez),
    web.get("/startupz", startupz),
    web.get("/readyz", readyz),
]
