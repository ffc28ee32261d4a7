"""GET /api/openapi.json: every path, OpenAPI 3.1. A test holds it against the routes, both ways."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from gradewatch.config.values import LONGEST
from gradewatch.http import schemas as s
from gradewatch.http.page.schemas import PAGE_SCHEMAS
from gradewatch.http.respond import respond
from gradewatch.http.schemas import Schema
from gradewatch.version import __version__

JSON = "application/json"
_MEANINGS = {
    400: "The request is wrong; sending it again cannot help.",
    401: "The bearer token is missing or wrong.",
    403: "No token is set, so nothing can be changed over HTTP.",
    404: "There is no such thing.",
    408: "The body did not arrive in time.",
    409: "The job's state does not allow it, or somebody was faster; nothing was changed.",
    413: "The body is too large.",
    415: "The body is compressed.",
    429: "Too many external workers.",
    503: "The store does not answer, or the answer took too long; try again.",
}


def content(schema: Schema, media: str = JSON, description: str = "OK") -> Schema:
    return {"description": description, "content": {media: {"schema": schema}}}


def answers(ok: Schema, *errors: int) -> Schema:
    failures = {str(status): content(s.ref("Error"), description=_MEANINGS[status]) for status in errors}
    return {"200": ok} | failures


def query(name: str, description: str, schema: Schema | None = None) -> Schema:
    return {"name": name, "in": "query", "description": description, "schema": schema or s.text(maxLength=200)}


def in_path(name: str, description: str, **schema: Any) -> Schema:
    return {"name": name, "in": "path", "required": True, "description": description, "schema": s.text(**schema)}


def get(summary: str, responses: Schema, *parameters: Schema) -> Schema:
    return {"get": {"summary": summary, "parameters": list(parameters), "responses": responses}}


def post(
    summary: str, ok: Schema, *errors: int, body: Schema | None = None, parameters: tuple[Schema, ...] = ()
) -> Schema:
    operation = {
        "summary": summary,
        "parameters": list(parameters),
        "security": [{"token": []}],
        "responses": answers(content(ok), *sorted({400, 401, 403, 408, 413, 415, 503, *errors})),
    }
    if body is not None:
        operation["requestBody"] = {"content": {JSON: {"schema": body}}}
    return {"post": operation}


def health(summary: str, failing: str) -> Schema:
    failure = content(s.ref("Health"), description=failing)
    return get(summary, {"200": content(s.ref("Health")), "503": failure})


_PAGE_PROBLEMS = {status: f"The page, and on it: {_MEANINGS[status]}" for status in (400, 404, 503)}
LIMIT = query("limit", "How many at most; 50 unless told.", s.number(minimum=1, maximum=200))
JOB_ID = in_path("id", "The job's id.", maxLength=200)
REASON = s.optional({"reason": s.text("Kept in the audit trail.", maxLength=500)})
OPERATED = s.obj(sweep=s.text("What `undo` takes."), job=s.ref("JobLine"))
ALERTMANAGER = {
    "type": "object",
    "required": ["version", "alerts"],
    "properties": {
        "version": s.words("4"),
        "alerts": s.array(
            {
                "type": "object",
                "required": ["status", "labels"],
                "properties": {
                    "status": s.words("firing", "resolved"),
                    "labels": {"type": "object", "additionalProperties": s.text()},
                    "startsAt": s.text(),
                    "fingerprint": s.text(),
                },
            }
        ),
    },
}
METRICS = {
    "description": "OK; the format by the Accept header.",
    "content": {"text/plain": {"schema": s.text()}, "application/openmetrics-text": {"schema": s.text()}},
}
LAST_EVENT = {"name": "Last-Event-ID", "in": "header", "description": "The last event seen.", "schema": s.text()}
FINDINGS = s.obj(
    cycle=s.number(), at=s.TIME, total=s.number(), findings=s.array(s.ref("Finding")), alerts=s.array(s.ref("Alert"))
)
PAUSED = s.obj(paused=s.TRUE_OR_FALSE, started_at=s.TIME, until=s.MAYBE_TIME, by=s.text(), reason=s.text())
UNDONE = s.obj(
    sweep=s.text(),
    undone=s.number(),
    left=s.number("Rows that somebody has changed since, or that were undone before."),
    entries=s.array(s.obj(subject=s.text(), action=s.text(), undone=s.TRUE_OR_FALSE), "The first 200."),
)
BEATEN = s.obj(worker=s.text(), session=s.text(), heartbeat_timeout={"type": "number"}, beat_every={"type": "number"})

PATHS: dict[str, Schema] = {
    "/": get("The status page", {"200": content(s.text(), "text/html")}),
    "/jobs/{id}": get(
        "A job's own page",
        {str(code): content(s.text(), "text/html", meaning) for code, meaning in {200: "OK", **_PAGE_PROBLEMS}.items()},
        JOB_ID,
    ),
    "/page/{digest}/{name}": get(
        "A file of the status page",
        {"200": {"description": "OK"}, "304": {"description": "Still the same."}}
        | {"404": content(s.ref("Error"), description=_MEANINGS[404])},
        in_path("digest", "Of all files of this version."),
        in_path("name", "The file's name."),
    ),
    "/metrics": get("Metrics for Prometheus, from memory", {"200": METRICS}),
    "/livez": health("Is this process's own loop turning?", "It is stuck: restart this process."),
    "/startupz": health("Has the first cycle ended?", "Not yet."),
    "/readyz": get(
        "Is the store reachable?",
        answers(content(s.ref("Health")), 503),
    ),
    "/api/worker_status": get(
        "Is somebody working, and if not, why?",
        {"200": content(s.ref("WorkerStatus")), "503": content(s.ref("WorkerTrouble"), description="In trouble.")},
    ),
    "/api/jobs": get(
        "Jobs, newest first",
        answers(
            content(s.obj(jobs=s.array(s.ref("JobLine")), next=s.nullable(s.text("Give it as `before`.")))), 400, 503
        ),
        query("queue", "Only this queue."),
        query("status", "Only jobs in this state.", s.STATES),
        LIMIT,
        query("before", "The id of the last job of the page before."),
    ),
    "/api/jobs/{id}": get("One job with its papers", answers(content(s.ref("Job")), 400, 404, 503), JOB_ID),
    "/api/jobs/{id}/papers": get(
        "One job with the state of every paper, those to come included",
        answers(content(s.ref("JobView")), 400, 404, 503),
        JOB_ID,
    ),
    "/api/overview": get(
        "All that the status page shows, the gravest first; Gradewatch-Age says how old it is, in seconds",
        {"200": content(s.ref("Overview"))},
    ),
    "/api/workers": get(
        "Workers, those in trouble first, with what they have in hand",
        answers(content(s.ref("WorkerList")), 400),
        query("match", "Only those with this in their name, host, queues or verdict."),
        query("limit", "How many at most; 50 unless told.", s.number(minimum=1, maximum=1000)),
    ),
    "/api/findings": get("What is wrong, why, and the fix", answers(content(FINDINGS), 503)),
    "/api/remediations": get(
        "Repairs, newest first",
        answers(
            content(
                s.obj(remediations=s.array(s.ref("Remediation")), next=s.nullable(s.number("Give it as `before`.")))
            ),
            400,
            503,
        ),
        query("sweep", "Only this sweep."),
        query("subject", "Only this job or worker."),
        LIMIT,
        query("before", "The id of the last repair of the page before.", s.number(minimum=1)),
    ),
    "/api/events": get(
        "Each cycle as a server-sent event: `cycle`, or `lost` for a reader too slow",
        answers(content(s.text(), "text/event-stream"), 503),
        LAST_EVENT,
    ),
    "/api/openapi.json": get("This document", {"200": content({"type": "object"})}),
    "/api/pause": post(
        "Hold the repairs; observing goes on",
        PAUSED,
        body=s.optional(
            {"for": s.text("Such as 30m; without it, until somebody resumes."), "reason": s.text(maxLength=500)}
        ),
    ),
    "/api/resume": post(
        "Let the repairs go on", s.obj(paused=s.TRUE_OR_FALSE, was_paused=s.TRUE_OR_FALSE), body=s.obj()
    ),
    "/api/undo": post("Put back what a sweep changed", UNDONE, 404, 409, body=s.obj(sweep=s.text(maxLength=200))),
    **{
        f"/api/jobs/{{id}}/{verb}": post(summary, OPERATED, 404, 409, body=REASON, parameters=(JOB_ID,))
        for verb, summary in {
            "requeue": "Put a job back into its queue",
            "fail": "Fail a job",
            "cancel": "Cancel a job",
        }.items()
    },
    "/api/heartbeat/{worker}": post(
        "A beat of a worker that Gradewatch does not run",
        BEATEN,
        429,
        body=s.optional(
            {
                "queue": s.text("The queue it serves; the first that is watched, unless told."),
                "slots": s.number(minimum=1, maximum=10_000),
                "busy": s.number(minimum=0, maximum=10_000),
                "loop_age": {
                    "type": "number",
                    "minimum": 0,
                    "maximum": LONGEST,
                    "description": "Seconds for which its event loop has not moved.",
                },
                "end": s.text("It is the last beat, and why.", maxLength=500),
            }
        ),
        parameters=(in_path("worker", "A lasting name.", pattern="^[A-Za-z0-9._:-]{1,100}$"),),
    ),
    "/api/alerts": post(
        "Alertmanager's webhook: wakes a cycle, links alerts to findings",
        s.obj(received=s.number(), firing=s.number(), linked=s.array(s.text())),
        body=ALERTMANAGER,
    ),
}

DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {
        "title": "Gradewatch",
        "version": __version__,
        "description": "The watch over a grading queue: why it is stuck, what was repaired, control of the repairs.",
        "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
    },
    "paths": PATHS,
    "components": {
        "schemas": {**s.SCHEMAS, **PAGE_SCHEMAS},
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
    },
}


async def openapi(request: web.Request) -> web.Response:
    return respond(DOCUMENT)


ROUTES = [web.get("/api/openapi.json", openapi)]
