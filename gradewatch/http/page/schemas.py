"""The shapes of what the status page asks for, for openapi.py. Tests hold real answers against them."""

from __future__ import annotations

from gradewatch.http import schemas as s
from gradewatch.http.schemas import Schema
from gradewatch.model import Outcome, Severity, Verdict

LEVEL = s.words("ok", "notice", "warning", "critical", "unknown")
SECONDS: Schema = {"type": "number"}
MAYBE_SECONDS: Schema = {"type": ["number", "null"]}
MAYBE_NUMBER = s.nullable(s.number())

_HEALTH = s.obj(
    level=LEVEL,
    sentence=s.text("Health in one sentence."),
    cause=s.text(),
    fix=s.text(),
    command=s.text(),
    runbook=s.text(),
    code=s.text("The finding it speaks of, or empty."),
    subject=s.text(),
)
_PAUSE = s.obj(by=s.text(), reason=s.text(), started_at=s.TIME, until=s.MAYBE_TIME)
_WATCH = s.obj(
    leader=s.TRUE_OR_FALSE | {"description": "This watch is the one that repairs."},
    mode=s.text("act, dry-run or off"),
    writes=s.TRUE_OR_FALSE | {"description": "A token is set, so something can be changed over HTTP."},
    pause={"anyOf": [_PAUSE, {"type": "null"}]},
)
_STORE = s.obj(kind=s.text(), reachable=s.TRUE_OR_FALSE, since=s.MAYBE_TIME, reason=s.text())
_QUEUE = s.obj(
    name=s.text(),
    level=LEVEL,
    unread=s.text("Why it could not be read, or empty; the figures are then those read last."),
    paused=s.TRUE_OR_FALSE,
    limit=SECONDS | {"description": "schedule_to_start, in seconds."},
    depths=s.array(s.number(), "Waiting and running, oldest first, one every 15 s."),
    pending=MAYBE_NUMBER,
    running=MAYBE_NUMBER,
    oldest_pending=MAYBE_SECONDS,
    oldest_running=MAYBE_SECONDS,
    read_ago=MAYBE_SECONDS,
    exact=s.TRUE_OR_FALSE | {"description": "False: the counts are a floor."},
    succeeded=s.number(),
    failed=s.number(),
    workers=s.number("Live ones that serve it."),
)
_WORKER = s.obj(
    session=s.text(),
    name=s.text(),
    verdict=s.words(*Verdict),
    evidence=s.text(),
    queues=s.array(s.text(), "The first 3."),
    queues_total=s.number(),
    slots=s.number(),
    busy=s.number(),
    host=s.text(),
    pid=s.number(),
    started_at=s.TIME,
    beat_ago=SECONDS,
    jobs=s.array(s.obj(id=s.text(), done=s.number(), total=s.number()), "The first 3."),
    jobs_total=s.number("Of the newest that run; others are not looked at."),
)
_FINDING_MOMENT = s.obj(
    kind=s.words("finding", "cleared"),
    at=s.TIME,
    code=s.text(),
    severity=s.words(*Severity),
    queue=s.nullable(s.text()),
    subjects=s.array(s.text()),
    count=s.number(),
    text=s.text(),
)
_REPAIR_MOMENT = s.obj(
    kind=s.words("repair"),
    at=s.TIME,
    code=s.text(),
    queue=s.nullable(s.text()),
    subjects=s.array(s.text(), "The first 5."),
    count=s.number("Of what one sweep did of this kind."),
    text=s.text(),
    action=s.text(),
    outcome=s.words(*Outcome),
    by=s.text(),
    sweep=s.text(),
    verified=s.MAYBE_BOOL,
    undone=s.number(),
    can_undo=s.TRUE_OR_FALSE,
)
_PAPER = s.obj(
    index=s.number(),
    name=s.text(),
    status=s.text("graded, needs_review, failed, or waiting"),
    marks=MAYBE_SECONDS,
    max_marks=MAYBE_SECONDS,
    error=s.nullable(s.text()),
)
TIMELINE = s.array({"anyOf": [_FINDING_MOMENT, _REPAIR_MOMENT]}, "Newest first, at most 50.")

PAGE_SCHEMAS: dict[str, Schema] = {
    "WorkerList": s.obj(
        total=s.number(),
        matching=s.number(),
        verdicts={"type": "object", "additionalProperties": s.number()},
        read_ago=SECONDS,
        workers=s.array(_WORKER),
    ),
    "Overview": s.obj(
        version=s.text(),
        cycle=MAYBE_NUMBER,
        at=s.MAYBE_TIME,
        interval=SECONDS,
        stale_after=SECONDS,
        health=_HEALTH,
        watch=_WATCH,
        store=_STORE,
        findings=s.array(s.ref("Finding"), "At most 50."),
        findings_total=s.number(),
        queues=s.array(_QUEUE, "At most 200."),
        queues_total=s.number(),
        workers=s.ref("WorkerList"),
        jobs=s.array(s.ref("JobLine"), "The 20 newest, those that run first."),
        lookup_failed=s.text("Why jobs and repairs could not be read, or empty; they are then those read last."),
        timeline=TIMELINE,
    ),
    "JobView": s.obj(
        job=s.ref("JobLine"), papers=s.array(_PAPER, "At most 1000."), papers_total=s.number(), timeline=TIMELINE
    ),
}
