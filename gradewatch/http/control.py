"""What may be done by hand: pause and resume the repairs, undo a sweep, act on a job, beat for a worker."""

from __future__ import annotations

import hmac
import re
import uuid
from typing import Literal

from aiohttp import web
from aiohttp.typedefs import Handler

from gradewatch.config import parse_duration
from gradewatch.config.values import LONGEST
from gradewatch.errors import NotFound
from gradewatch.http import wire
from gradewatch.http.problems import Problem, invalid
from gradewatch.http.reading import Fields, checked_text, read_object
from gradewatch.http.respond import respond
from gradewatch.http.services import SERVICES

BY = "http"
Verb = Literal["requeue", "fail", "cancel"]
VERBS: tuple[Verb, ...] = ("requeue", "fail", "cancel")
MAX_SLOTS = 10_000
MAX_ENTRIES = 200  # of a sweep, listed in the answer to an undo
WORKER_NAME = re.compile(r"[A-Za-z0-9._:-]{1,100}")
SAFE = frozenset({"GET", "HEAD"})


@web.middleware
async def authorize(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Nothing but reading without the bearer token, whatever the route. An unknown route stays a 404."""
    if request.method not in SAFE and request.match_info.http_exception is None:
        _check_token(request.headers.get("Authorization", ""), request.app[SERVICES].settings.http.token)
    response = await handler(request)
    if request.method not in SAFE:
        request.app[SERVICES].overview.forget()  # whoever gave an order must not be shown what was before it
    return response


def _check_token(header: str, token: str) -> None:
    if not token:
        raise Problem(
            403,
            "writes_are_off",
            "the paths that change something are off, because no token is set",
            fix="set `token` under [http] in gradewatch.toml, or GRADEWATCH_HTTP__TOKEN, restart, and send "
            '"Authorization: Bearer <token>"',
        )
    scheme, _, given = header.partition(" ")
    same = hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), token.encode())
    if scheme.lower() != "bearer" or not same:
        raise Problem(
            401,
            "unauthorized",
            "the bearer token is missing or wrong",
            fix='send "Authorization: Bearer <token>" with the token of [http]',
            headers={"WWW-Authenticate": 'Bearer realm="gradewatch"'},
        )


async def pause(request: web.Request) -> web.Response:
    fields = Fields(await read_object(request), ("for", "reason"))
    text, reason = fields.text("for", most=40), fields.text("reason", most=500)
    services = request.app[SERVICES]
    held = await services.store.pause(_seconds(text) if text else None, by=BY, reason=reason)
    services.board.wake("repairs were paused")
    return respond(
        {
            "paused": True,
            "started_at": wire.stamp(held.started_at),
            "until": wire.stamp(held.until),
            "by": held.by,
            "reason": held.reason,
        }
    )


def _seconds(text: str) -> float:
    """Raises Problem 400."""
    try:
        seconds = parse_duration(text)
    except ValueError as wrong:
        raise invalid(f"for is no duration: {wrong}") from None
    if not 0 < seconds <= LONGEST:
        raise invalid("for must be longer than nothing and shorter than ten years", "such as 30m")
    return seconds


async def resume(request: web.Request) -> web.Response:
    Fields(await read_object(request), ())
    services = request.app[SERVICES]
    was_paused = await services.store.resume(by=BY)
    services.board.wake("repairs were resumed")
    return respond({"paused": False, "was_paused": was_paused})


async def undo(request: web.Request) -> web.Response:
    """Puts back what is still as the sweep left it, and says which rows were not."""
    fields = Fields(await read_object(request), ("sweep",))
    sweep = checked_text("sweep", fields.text("sweep"))
    services = request.app[SERVICES]
    entries = await services.store.undo(sweep, by=BY)
    if not entries:
        raise NotFound(f"there is nothing to undo in a sweep {sweep}; GET /api/remediations lists the sweeps")
    services.board.wake("a sweep was undone")
    undone = sum(done for _, done in entries)
    lines = [
        {"subject": entry.subject, "action": entry.action, "undone": done} for entry, done in entries[:MAX_ENTRIES]
    ]
    return respond({"sweep": sweep, "undone": undone, "left": len(entries) - undone, "entries": lines})


def operation(verb: Verb) -> Handler:
    """The handler of one verb on a job."""

    async def operate(request: web.Request) -> web.Response:
        job_id = checked_text("the job's id", request.match_info["id"])
        reason = Fields(await read_object(request), ("reason",)).text("reason", most=500)
        services = request.app[SERVICES]
        sweep = f"{BY}-{uuid.uuid4().hex[:12]}"
        message = reason or f"{verb} asked for by hand"
        job = await services.store.operate(job_id, verb, by=BY, sweep=sweep, message=message)
        services.board.wake(f"{verb} of a job by hand")
        return respond({"sweep": sweep, "job": wire.job_line(job)})

    return operate


async def heartbeat(request: web.Request) -> web.Response:
    name = request.match_info["worker"]
    if not WORKER_NAME.fullmatch(name):
        raise invalid("a worker's name is 1 to 100 of A-Z a-z 0-9 . _ : -")
    fields = Fields(await read_object(request), ("queue", "slots", "busy", "loop_age", "end"))
    queue, slots = fields.text("queue", most=255), fields.whole("slots", 1, MAX_SLOTS)
    busy = fields.whole("busy", 0, MAX_SLOTS) or 0
    loop_age, end = fields.seconds("loop_age", LONGEST), fields.text("end", most=500)
    services = request.app[SERVICES]
    session = await services.external.beat(
        name, queue=queue, slots=slots, busy=busy, host=request.remote or "", loop_age=loop_age, end=end
    )
    timeout = services.settings.timeouts.heartbeat
    return respond({"worker": name, "session": session, "heartbeat_timeout": timeout, "beat_every": timeout / 5})


ROUTES = [
    web.post("/api/pause", pause),
    web.post("/api/resume", resume),
    web.post("/api/undo", undo),
    *(web.post(f"/api/jobs/{{id}}/{verb}", operation(verb)) for verb in VERBS),
    web.post("/api/heartbeat/{worker}", heartbeat),
]
