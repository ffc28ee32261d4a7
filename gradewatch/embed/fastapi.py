"""Gradewatch inside FastAPI, or Starlette: a lifespan that runs a worker, and routes mounted under a prefix."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal

from gradewatch.embed.inside import inside, plan
from gradewatch.embed.outlook import PATHS, Outlook
from gradewatch.embed.work import Worker
from gradewatch.errors import ConfigError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

Lifespan = Callable[[Any], AbstractAsyncContextManager[Any]]
"""Of an application: entered at its start, left at its end; what it yields is the requests' state."""


def make_lifespan(
    worker: Worker | Literal["grading"] | None,
    *,
    name: str = "",
    queue: str = "",
    scope: str | None = None,
    drain: float | None = None,
    prefix: str | None = "/gradewatch",
    wraps: Lifespan | None = None,
    config: str | os.PathLike[str] | None = None,
) -> Lifespan:
    """See gradewatch.lifespan. Raises ConfigError."""
    planned = plan(worker, name=name, queue=queue, scope=scope, drain=drain, config=config)
    if prefix and (not prefix.startswith("/") or prefix.endswith("/")):
        raise ConfigError([f"prefix is {prefix!r}: it must begin with a slash and not end with one, or be empty"])

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[Mapping[str, Any] | None]:
        async with AsyncExitStack() as stack:
            state = await stack.enter_async_context(wraps(app)) if wraps is not None else None
            outlook = await stack.enter_async_context(inside(planned, os.environ))
            if prefix is not None:
                stack.enter_context(_mounted(app, prefix, outlook))
            yield state

    return lifespan


class _mounted:
    """The routes are the application's first for the length of the context: none of its own, not even one that takes
    every path, stands before them."""

    def __init__(self, app: Any, prefix: str, outlook: Outlook) -> None:
        self._app = app
        self._routes = routes(outlook, prefix)

    def __enter__(self) -> None:
        self._app.router.routes[:0] = self._routes

    def __exit__(self, *exc: object) -> None:
        for route in self._routes:
            self._app.router.routes.remove(route)


def routes(outlook: Outlook, prefix: str) -> list[Route]:
    from starlette.responses import Response
    from starlette.routing import Route

    def endpoint(path: str) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            told = await outlook.answer(path, request.headers.get("accept", ""))
            headers = {**told.headers, "Content-Type": told.content_type}
            return Response(told.body, told.status, headers)

        return answer

    return [Route(prefix + path, endpoint(path), methods=["GET"], include_in_schema=False) for path in PATHS]
