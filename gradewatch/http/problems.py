"""Everything that can go wrong with a request, as JSON: {"error": {"code", "message", "fix"}}. Nothing is ever a 500
but a fault of ours, which is logged with its traceback and told without it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from aiohttp.web_protocol import RequestPayloadError

from gradewatch.board import TooManySubscribers
from gradewatch.errors import (
    AccessDenied,
    Conflict,
    GradewatchError,
    NotFound,
    SchemaMismatch,
    StoreError,
    StoreUnavailable,
)
from gradewatch.http.respond import respond

DEADLINE = 10.0  # seconds for one request; event streams have none
RETRY = {"Retry-After": "5"}

log = structlog.get_logger(__name__)


class Problem(GradewatchError):
    """A request that is answered with an error: its status, a stable code, what happened, and what to do."""

    def __init__(
        self, status: int, code: str, message: str, *, fix: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.fix, self.headers = status, code, message, fix, headers

    def response(self) -> web.Response:
        error = {"code": self.code, "message": self.message} | ({"fix": self.fix} if self.fix else {})
        return respond({"error": error}, self.status, self.headers)


def invalid(message: str, fix: str = "") -> Problem:
    """The request itself is wrong: sending it again cannot help."""
    return Problem(400, "invalid_request", message, fix=fix)


# The first that fits is taken: (error, status, code, fix, headers).
_KNOWN: tuple[tuple[type[Exception], int, str, str, Mapping[str, str]], ...] = (
    (NotFound, 404, "not_found", "", {}),
    (Conflict, 409, "conflict", "look at the job again and decide anew", {}),
    (StoreUnavailable, 503, "store_unreachable", "see GET /api/findings, or run `gradewatch doctor`", RETRY),
    (AccessDenied, 503, "store_access_denied", "check the store's role or key; run `gradewatch doctor`", RETRY),
    (SchemaMismatch, 503, "store_schema_mismatch", "run `gradewatch migrate`", RETRY),
    (TooManySubscribers, 503, "too_many_subscribers", "", RETRY),
    (RequestPayloadError, 400, "invalid_request", "send a body that is as long as it says", {}),
    (TimeoutError, 503, "deadline", "try again", RETRY),
)


def problem_of(error: Exception) -> Problem | None:
    """The answer to a known error; None for a fault of ours."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, web.HTTPException):
        code = error.reason.lower().replace(" ", "_")
        allow = error.headers.get("Allow")
        return Problem(
            error.status, code, f"{error.status} {error.reason}", headers={"Allow": allow} if allow else None
        )
    for kind, status, code, fix, headers in _KNOWN:
        if isinstance(error, kind):
            message = str(error) or f"the answer took longer than {DEADLINE:g} s"
            own = error.fix if isinstance(error, StoreError) else ""
            return Problem(status, code, message, fix=own or fix, headers=headers)
    return None


def guarded(endless: frozenset[str]) -> Middleware:
    """The outermost middleware: a deadline for every path but those in `endless`, and errors as JSON."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        limit = None if request.path in endless else DEADLINE
        try:
            async with asyncio.timeout(limit):
                return await handler(request)
        except ConnectionError:  # the client went away: nobody is left to answer
            raise
        except Exception as error:
            problem = problem_of(error)
            if problem is None:
                log.exception("a request failed by our own fault", method=request.method, path=request.path)
                problem = Problem(500, "internal", "Gradewatch failed to answer; its log has the reason")
            return problem.response()

    return guard
