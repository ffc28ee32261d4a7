"""What may be read: workers, jobs, findings, repairs, metrics."""

from __future__ import annotations

from aiohttp import web

from gradewatch.errors import NotFound
from gradewatch.http import wire
from gradewatch.http.problems import Problem, invalid
from gradewatch.http.reading import checked_text, query_text, query_whole
from gradewatch.http.respond import respond
from gradewatch.http.services import SERVICES
from gradewatch.model import JobState

PAGE, LONGEST_PAGE = 50, 200
MAX_ID = 2**63 - 1  # of an audit entry


async def metrics(request: web.Request) -> web.Response:
    body, content_type = request.app[SERVICES].metrics.scrape(request.headers.get("Accept", ""))
    return web.Response(body=body, headers={"Content-Type": content_type})


async def worker_status(request: web.Request) -> web.Response:
    status = await request.app[SERVICES].status.get()
    return web.Response(body=status.body, status=status.code, content_type="application/json")


async def jobs(request: web.Request) -> web.Response:
    limit = query_whole(request, "limit", 1, LONGEST_PAGE) or PAGE
    found = await request.app[SERVICES].store.jobs(
        queue=query_text(request, "queue"),
        state=_state(query_text(request, "status")),
        limit=limit,
        before=query_text(request, "before"),
    )
    following = found[-1].id if len(found) == limit else None
    return respond({"jobs": [wire.job_line(job) for job in found], "next": following})


def _state(word: str | None) -> JobState | None:
    if word is None:
        return None
    try:
        return JobState(word)
    except ValueError:
        raise invalid("status is none of the job states", f"known: {', '.join(JobState)}") from None


async def job(request: web.Request) -> web.Response:
    job_id = checked_text("the job's id", request.match_info["id"])
    store = request.app[SERVICES].store
    found = await store.job(job_id)
    if found is None:
        raise NotFound(f"there is no job {job_id}")
    return respond(wire.job_page(found, await store.papers(job_id)))


async def findings(request: web.Request) -> web.Response:
    board = request.app[SERVICES].board
    report = board.latest
    if report is None:
        raise Problem(
            503, "no_cycle_yet", "the first cycle has not ended yet", fix="try again", headers={"Retry-After": "2"}
        )
    return respond(
        {
            "cycle": report.number,
            "at": wire.stamp(report.wall),
            "total": len(report.diagnosis.findings),
            "findings": wire.findings(report, board.alerts),
            "alerts": [wire.alert(noted) for noted in board.alerts],
        }
    )


async def remediations(request: web.Request) -> web.Response:
    limit = query_whole(request, "limit", 1, LONGEST_PAGE) or PAGE
    entries = await request.app[SERVICES].store.audit(
        limit=limit,
        sweep=query_text(request, "sweep"),
        subject=query_text(request, "subject"),
        before=query_whole(request, "before", 1, MAX_ID),
    )
    following = entries[-1].id if len(entries) == limit else None
    return respond({"remediations": [wire.audit_line(entry) for entry in entries], "next": following})


ROUTES = [
    web.get("/metrics", metrics),
    web.get("/api/worker_status", worker_status),
    web.get("/api/jobs", jobs),
    web.get("/api/jobs/{id}", job),
    web.get("/api/findings", findings),
    web.get("/api/remediations", remediations),
]
