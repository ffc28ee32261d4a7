"""Submitting jobs: checked and encoded by the caller, inserted in one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from gradewatch.errors import PayloadError
from gradewatch.model import NewJob
from gradewatch.stores.sqlite import rows
from gradewatch.stores.sqlite.ids import make_ids, now

LARGEST_PAYLOAD = 8 << 20  # bytes: each claim and each listing reads it whole


@dataclass(frozen=True, slots=True)
class Prepared:
    """A job checked and encoded before it reaches the writer's thread, whose time is everybody's."""

    job: NewJob
    payload: str
    papers: tuple[str, ...]


def prepare(job: NewJob) -> Prepared:
    """Raises PayloadError for what the store cannot keep."""
    try:
        payload = rows.dump(dict(job.payload))
        for word in (job.queue, job.kind, job.key or ""):
            word.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise PayloadError(f"A {job.kind!r} job cannot be kept as JSON: {error}.") from error
    if (
        not 1 <= job.max_attempts <= rows.LARGEST
        or abs(job.priority) > rows.LARGEST
        or not 0 <= job.progress_total <= rows.LARGEST
    ):
        raise PayloadError("A job needs max_attempts of 1 or more, and a priority and total that fit 64 bits.")
    if not 0 <= job.delay * 1e6 <= rows.FOREVER:
        raise PayloadError(f"A delay of {job.delay} s cannot be kept: it must be between zero and ten years.")
    if len(payload) > LARGEST_PAYLOAD:
        raise PayloadError(f"A payload holds at most {LARGEST_PAYLOAD >> 20} MiB: hand large files over as papers.")
    return Prepared(job, payload, _papers(job))


def _papers(job: NewJob) -> tuple[str, ...]:
    papers = job.payload.get("papers")
    if not isinstance(papers, Sequence):
        return ()
    named = (paper.get("sha256") for paper in papers if isinstance(paper, dict))
    return tuple({sha: None for sha in named if isinstance(sha, str)})


_INSERT = """
INSERT INTO jobs (id, queue, kind, key, priority, max_attempts, created_at, run_at, updated_at, progress_total, payload)
VALUES (:id, :queue, :kind, :key, :priority, :max_attempts, gw_now(), gw_now() + :delay, gw_now(), :total, :payload)
ON CONFLICT (queue, key) WHERE key IS NOT NULL DO NOTHING
"""


def submit(connection: sqlite3.Connection, prepared: Sequence[Prepared]) -> list[str]:
    ids = make_ids(now(connection), len(prepared))
    for position, new in enumerate(prepared):
        job = new.job
        parameters = {
            "id": ids[position],
            "queue": job.queue,
            "kind": job.kind,
            "key": job.key,
            "priority": job.priority,
            "max_attempts": job.max_attempts,
            "delay": rows.micros(job.delay),
            "total": job.progress_total,
            "payload": new.payload,
        }
        if connection.execute(_INSERT, parameters).rowcount:
            refs = [(sha, ids[position]) for sha in new.papers]
            connection.executemany("INSERT INTO paper_refs (sha256, job_id) VALUES (?, ?)", refs)
        else:
            known = connection.execute("SELECT id FROM jobs WHERE queue = ? AND key = ?", (job.queue, job.key))
            ids[position] = known.fetchone()[0]
    return ids
