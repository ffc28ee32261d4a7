"""The shapes of the API's JSON, for openapi.py. Tests hold real answers against them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradewatch.model import ActionKind, Code, JobState, Outcome, Severity, Verdict

Schema = dict[str, Any]


def obj(members: Mapping[str, Schema] | None = None, /, **more: Schema) -> Schema:
    """An object with exactly these members, all of them always there."""
    every = {**(members or {}), **more}
    return optional(every) | ({"required": list(every)} if every else {})


def optional(members: Mapping[str, Schema]) -> Schema:
    """An object with at most these members."""
    return {"type": "object", "properties": dict(members), "additionalProperties": False}


def array(items: Schema, description: str = "") -> Schema:
    return {"type": "array", "items": items} | ({"description": description} if description else {})


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def text(description: str = "", **more: Any) -> Schema:
    return {"type": "string", **more} | ({"description": description} if description else {})


def number(description: str = "", **more: Any) -> Schema:
    return {"type": "integer", **more} | ({"description": description} if description else {})


def nullable(schema: Schema) -> Schema:
    if "$ref" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    return schema | {"type": [schema["type"], "null"]}


def words(*values: str, description: str = "") -> Schema:
    return text(description, enum=list(values))


TIME = text(format="date-time")
MAYBE_TIME = nullable(TIME)
TRUE_OR_FALSE: Schema = {"type": "boolean"}
MAYBE_BOOL: Schema = {"type": ["boolean", "null"]}
ANYTHING: Schema = {}
STATES = words(*JobState)
ERROR = obj(code=text("Why it failed; stable, for programs."), message=text())

_JOB = {
    "id": text(),
    "queue": text(),
    "kind": text(),
    "status": STATES,
    "priority": number("Higher is claimed first."),
    "attempt": number("Attempts charged so far."),
    "max_attempts": number(),
    "lost": number("Workers that died while running it."),
    "session": nullable(text("The session of the worker that runs it.")),
    "created_at": TIME,
    "run_at": TIME | {"description": "When it became, or becomes, eligible: its wait counts from here."},
    "started_at": MAYBE_TIME,
    "finished_at": MAYBE_TIME,
    "updated_at": TIME,
    "progress": obj(done=number(), total=number()),
    "status_message": text(),
    "error": {"anyOf": [ERROR, {"type": "null"}]},
}

_PAPER = obj(
    index=number(),
    name=text(),
    status=text("graded, needs_review or failed"),
    marks={"type": ["number", "null"]},
    max_marks={"type": ["number", "null"]},
    detail={"type": "object"},
    error={"anyOf": [ERROR, {"type": "null"}]},
    times_written=number("Accepted writes: more than one means it was graded twice."),
)

_STATUS = {
    "worker_configured": TRUE_OR_FALSE
    | {"description": "The platform has a place for a worker, or a worker has opened a session at some time."},
    "worker_running": TRUE_OR_FALSE | {"description": "A live worker is known. False whenever this cannot be told."},
    "workers": array(ref("Worker"), "At most 100, those in trouble first."),
    "recent_jobs": number("How many jobs are listed in `jobs`."),
    "status_counts": {
        "type": "object",
        "additionalProperties": number(),
        "description": "Jobs by state over all queues: now in pending and running, ever in the final states.",
    },
    "oldest_stuck_job": {
        "anyOf": [obj(id=text(), created_at=TIME), {"type": "null"}],
        "description": "The longest-waiting job: beyond its timeout, held by a lost worker, or in an unserved queue.",
    },
    "jobs": array(
        obj(
            id=text(),
            status=STATES,
            created_at=TIME,
            started_at=MAYBE_TIME,
            finished_at=MAYBE_TIME,
            error_message=nullable(text()),
        ),
        "The 5 newest.",
    ),
    "findings": array(ref("Finding")),
}

SCHEMAS: dict[str, Schema] = {
    "Error": obj(
        error={
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": text("Stable, for programs."),
                "message": text("What happened, for people."),
                "fix": text("What to do."),
            },
        }
    ),
    "Health": {
        "type": "object",
        "required": ["status"],
        "properties": {"status": words("ok", "failing"), "reason": text()},
    },
    "WorkerStatus": obj(_STATUS),
    "WorkerTrouble": obj(_STATUS, error=text("Why nobody can be said to work.")),
    "Worker": obj(
        name=text(),
        session=text(),
        verdict=words(*Verdict),
        evidence=text(),
        queues=array(text()),
        slots=number(),
        busy=number(),
        host=text(),
        pid=number(),
        version=text(),
        started_at=TIME,
        beat_at=TIME,
    ),
    "JobLine": obj(_JOB),
    "Job": obj(_JOB, payload=ANYTHING, result=ANYTHING, papers=array(ref("Paper"))),
    "Paper": _PAPER,
    "Finding": obj(
        code=words(*Code),
        severity=words(*Severity),
        subject=text("The queue, worker, variable or store it concerns."),
        queue=nullable(text()),
        summary=text(),
        evidence=array(text()),
        fix=text(),
        command=text(),
        runbook=text(),
        alerts=array(ref("Alert"), "Firing alerts about it."),
    ),
    "Alert": obj(
        name=text(),
        code=nullable(words(*Code)),
        labels={"type": "object", "additionalProperties": text()},
        starts_at=text(),
        received_at=TIME,
    ),
    "Remediation": obj(
        id=number(),
        sweep=text("The cycle or the request it belongs to; what `undo` takes."),
        at=TIME,
        by=text(),
        action=text(f"{', '.join(ActionKind)}, or a verb of an operator."),
        queue=text(),
        subject=text("A job's id or a worker's name."),
        outcome=words(*Outcome),
        reason=text(),
        message=text(),
        verified=MAYBE_BOOL,
        undone_at=MAYBE_TIME,
    ),
}
