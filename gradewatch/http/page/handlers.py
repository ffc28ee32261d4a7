"""The page, a job's page, and what its scripts ask for."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from aiohttp import web

from gradewatch.errors import GradewatchError
from gradewatch.http import wire
from gradewatch.http.page.assets import ASSET_ROUTES
from gradewatch.http.page.document import document, policy
from gradewatch.http.page.job import job_view
from gradewatch.http.page.lookup import look_up_job
from gradewatch.http.page.overview import ZIP_LEVEL
from gradewatch.http.page.words import short
from gradewatch.http.page.zipped import answer
from gradewatch.http.problems import Problem, problem_of
from gradewatch.http.reading import checked_text, query_text, query_whole
from gradewatch.http.respond import respond
from gradewatch.http.services import SERVICES

LISTED, MOST_LISTED = 50, 1000  # workers
PATIENCE = 0.5  # seconds that a job's page waits for the store
AGE = "Gradewatch-Age"  # seconds since the cycle that an answer tells of


async def index(request: web.Request) -> web.Response:
    return await _page(request, {"view": "overview"}, "Gradewatch", root="")


async def job(request: web.Request) -> web.Response:
    """Whatever the store says of the job, the page comes: an error is shown on it, in its place. Where the store takes
    its time, the page comes without the job and asks for it."""
    job_id = request.match_info["id"]
    view: dict[str, Any] = {"view": "job", "id": job_id, "job": None, "problem": None}
    status = 200
    try:
        checked_text("the job's id", job_id)
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                view["job"] = job_view(await look_up_job(request.app[SERVICES].store, job_id))
    except GradewatchError as error:
        problem = problem_of(error) or Problem(500, "internal", "Gradewatch failed to answer; its log has the reason")
        view["problem"], status = {"code": problem.code, "message": problem.message, "fix": problem.fix}, problem.status
    return await _page(request, view, f"Job {short(job_id, 40)} · Gradewatch", root="../", status=status)


async def _page(
    request: web.Request, view: Mapping[str, Any], title: str, *, root: str, status: int = 200
) -> web.Response:
    overview = request.app[SERVICES].overview
    made = await overview.get(at_once=True)
    html = document(root=root, title=title, health=made.health, page=view, overview=made.plain, age=overview.age)
    zipped = await asyncio.to_thread(gzip.compress, html, ZIP_LEVEL)
    return answer(request, html, zipped, "text/html", {"Content-Security-Policy": policy()}, status)


async def overview(request: web.Request) -> web.Response:
    shown = request.app[SERVICES].overview
    made = await shown.get()
    return answer(request, made.plain, made.zipped, "application/json", {AGE: f"{shown.age:.1f}"})


async def workers(request: web.Request) -> web.Response:
    match = query_text(request, "match") or ""
    limit = query_whole(request, "limit", 1, MOST_LISTED) or LISTED
    shown = request.app[SERVICES].overview
    plain = wire.encode(await shown.workers(match, limit))
    zipped = await asyncio.to_thread(gzip.compress, plain, ZIP_LEVEL)
    return answer(request, plain, zipped, "application/json", {AGE: f"{shown.age:.1f}"})


async def job_status(request: web.Request) -> web.Response:
    job_id = checked_text("the job's id", request.match_info["id"])
    return respond(job_view(await look_up_job(request.app[SERVICES].store, job_id)))


ROUTES = [
    web.get("/", index),
    web.get("/jobs/{id}", job),
    web.get("/api/overview", overview),
    web.get("/api/workers", workers),
    web.get("/api/jobs/{id}/papers", job_status),
    *ASSET_ROUTES,
]
