"""Reading jobs: one, a page of them, the late ones, those whose worker is absent."""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Collection

from gradewatch.model import Job, JobRef, JobState, PaperResult
from gradewatch.stores.sqlite import rows

PAGE = 10_000  # the longest list one call may ask for


def job(connection: sqlite3.Connection, job_id: str) -> Job | None:
    row = connection.execute(f"SELECT {rows.JOB_COLUMNS} FROM jobs WHERE id = ?", (rows.text(job_id),)).fetchone()
    return rows.job(row) if row else None


def papers(connection: sqlite3.Connection, job_id: str) -> list[PaperResult]:
    found = connection.execute("SELECT * FROM papers WHERE job_id = ? ORDER BY idx", (rows.text(job_id),))
    return [rows.paper(row) for row in found]


def jobs(
    connection: sqlite3.Connection, queue: str | None, state: JobState | None, limit: int, before: str | None
) -> list[Job]:
    limit = max(0, min(limit, PAGE))
    newest = _newest(connection, queue, state, limit, _end(connection, before))
    found = connection.execute(
        f"SELECT {rows.JOB_COLUMNS} FROM jobs WHERE seq IN (SELECT value FROM json_each(?)) ORDER BY seq DESC",
        (rows.dump(newest),),
    )
    return [rows.job(row) for row in found]


def _end(connection: sqlite3.Connection, before: str | None) -> int:
    """The seq under which the page lies. The job it is named after may have been purged meanwhile."""
    if before is None:
        return rows.LARGEST
    before = rows.text(before)
    row = connection.execute("SELECT seq, id FROM jobs WHERE id <= ? ORDER BY id DESC LIMIT 1", (before,)).fetchone()
    if row is None:
        return 0
    seq: int = row["seq"]
    return seq if row["id"] == before else seq + 1


def _newest(
    connection: sqlite3.Connection, queue: str | None, state: JobState | None, limit: int, end: int
) -> list[int]:
    """The newest seqs. Each (queue, state) is an ordered walk of jobs_listing, however rare it is among the rows."""
    if queue is None and state is None:
        found = connection.execute("SELECT seq FROM jobs WHERE seq < ? ORDER BY seq DESC LIMIT ?", (end, limit))
        return [row[0] for row in found]
    queues = (
        [rows.text(queue)]
        if queue is not None
        else [row[0] for row in connection.execute("SELECT queue FROM counters")]
    )
    states = [state] if state is not None else list(JobState)
    sql = "SELECT seq FROM jobs WHERE queue = ? AND state = ? AND seq < ? ORDER BY seq DESC LIMIT ?"
    walks = (connection.execute(sql, (name, word, end, limit)) for name in queues for word in states)
    return heapq.nlargest(limit, (row[0] for walk in walks for row in walk))


_SINCE = {JobState.PENDING: "run_at", JobState.RUNNING: "started_at"}
_BLAMELESS = {JobState.PENDING: "0", JobState.RUNNING: "waited"}  # time that does not count
_KIND = "(:kinds IS NULL OR kind IN (SELECT value FROM json_each(:kinds)))"


def overdue(
    connection: sqlite3.Connection, queue: str, state: JobState, age: float, kinds: Collection[str] | None, limit: int
) -> list[JobRef]:
    if state not in _SINCE:
        raise ValueError(f"only pending and running jobs can be overdue, not {state.value} ones")
    since = _SINCE[state]
    # The state stands in the text, not among the parameters, so that the partial index can be used.
    found = connection.execute(
        f"SELECT {rows.REF_COLUMNS} FROM jobs WHERE state = '{state.value}' AND queue = :queue "
        f"AND {since} < gw_now() - :age AND {since} + {_BLAMELESS[state]} < gw_now() - :age AND {_KIND} "
        f"ORDER BY {since} LIMIT :limit",
        {"queue": queue, "age": rows.micros(age), "kinds": _listed(kinds), "limit": min(limit, PAGE)},
    )
    return [rows.job_ref(row) for row in found]


def held(
    connection: sqlite3.Connection, queue: str, absent: Collection[str], kinds: Collection[str] | None, limit: int
) -> list[JobRef]:
    found = connection.execute(
        f"SELECT {rows.REF_COLUMNS} FROM jobs WHERE state = 'running' AND queue = :queue AND {_KIND} "
        "AND (session_id IN (SELECT value FROM json_each(:absent)) OR NOT EXISTS "
        "(SELECT 1 FROM sessions WHERE sessions.id = jobs.session_id AND sessions.ended_at IS NULL)) "
        "ORDER BY started_at LIMIT :limit",
        {"queue": queue, "absent": rows.dump_list(absent), "kinds": _listed(kinds), "limit": min(limit, PAGE)},
    )
    return [rows.job_ref(row) for row in found]


def _listed(kinds: Collection[str] | None) -> str | None:
    return None if kinds is None else rows.dump_list(kinds)
