"""Reading jobs: one, a page of them, the late ones, those whose worker is absent."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from gradewatch.model import Job, JobRef, JobState, PaperResult
from gradewatch.stores.mongo import encode, rows, schema
from gradewatch.stores.mongo.database import PREFIX, Database
from gradewatch.stores.mongo.either import listed
from gradewatch.stores.mongo.encode import Document

_SINCE = {JobState.PENDING: "run_at", JobState.RUNNING: "started_at"}


async def job(data: Database, job_id: str) -> Job | None:
    row = await data.jobs.find_one({"_id": encode.text(job_id)})
    return None if row is None else rows.job(row)


async def papers(data: Database, job_id: str) -> list[PaperResult]:
    found = await listed(data.papers.find({"job": encode.text(job_id)}).sort("idx", 1))
    return [rows.paper(row) for row in found]


async def jobs(data: Database, queue: str | None, state: JobState | None, limit: int, before: str | None) -> list[Job]:
    """Each (queue, state) is an ordered walk of jobs_listing, however rare it is among the documents; the server merges
    these walks."""
    if not encode.page(limit):
        return []
    query: Document = {}
    if queue is not None or state is not None:
        names = [encode.text(queue)] if queue is not None else await data.jobs.distinct("queue")
        states = [state.value] if state is not None else [one.value for one in JobState]
        query = {"queue": {"$in": names}, "state": {"$in": states}}
    if before is not None:
        query["_id"] = {"$lt": encode.text(before)}
    found = await listed(data.jobs.find(query).sort("_id", -1).limit(encode.page(limit)))
    return [rows.job(row) for row in found]


async def overdue(
    data: Database, queue: str, state: JobState, age: float, kinds: Collection[str] | None, limit: int
) -> list[JobRef]:
    """A run's time of waiting for providers does not count."""
    if state not in _SINCE:
        raise ValueError(f"only pending and running jobs can be overdue, not {state.value} ones")
    since, long_ago = _SINCE[state], await data.now() - encode.micros(age)
    query: Document = {"state": state.value, "queue": encode.text(queue), since: {"$lt": long_ago}, **_of(kinds)}
    if state is JobState.PENDING:
        query |= schema.NO_SESSION
    else:
        query["$expr"] = {"$lt": [{"$add": ["$started_at", "$waited"]}, long_ago]}
    return await _refs(data, query, since, limit)


async def held(
    data: Database, queue: str, absent: Collection[str], kinds: Collection[str] | None, limit: int
) -> list[JobRef]:
    """The jobs are looked at before the sessions: one that opened and claimed in between is never taken for missing."""
    gone = {row["_id"] for row in await listed(data.jobs.aggregate(_GONE))} | set(encode.texts(absent))
    if not gone:
        return []
    query = {"state": "running", "queue": encode.text(queue), "session_id": {"$in": sorted(gone)}, **_of(kinds)}
    return await _refs(data, query, "started_at", limit)


# Sessions that hold jobs, and have ended or never were.
_GONE: list[dict[str, Any]] = [
    {"$match": {"state": "running"}},
    {"$group": {"_id": "$session_id"}},
    {
        "$lookup": {
            "from": f"{PREFIX}sessions",
            "localField": "_id",
            "foreignField": "_id",
            "pipeline": [{"$match": {"ended_at": None}}, {"$project": {"_id": 1}}],
            "as": "open",
        }
    },
    {"$match": {"open": []}},
]


def _of(kinds: Collection[str] | None) -> Document:
    return {} if kinds is None else {"kind": {"$in": encode.texts(kinds)}}


async def _refs(data: Database, query: Document, since: str, limit: int) -> list[JobRef]:
    if not encode.page(limit):
        return []
    found = await listed(data.jobs.find(query, rows.REF, batch_size=limit + 1).sort(since, 1).limit(encode.page(limit)))
    return [rows.job_ref(row) for row in found]
