"""What the page shows that no cycle reads: the newest jobs, those that run, the audit trail. One question for all."""

from __future__ import annotations

from dataclasses import dataclass

from gradewatch.errors import NotFound
from gradewatch.http import wire
from gradewatch.http.page.words import short
from gradewatch.model import AuditEntry, Job, JobState, PaperResult
from gradewatch.ports import Store

NEWEST, RUNNING, AUDIT = 20, 100, 100  # each row may carry a large payload, so there are few


@dataclass(frozen=True, slots=True)
class Lookup:
    """Jobs newest first; entries of the audit trail newest first."""

    newest: tuple[Job, ...] = ()
    running: tuple[Job, ...] = ()
    audit: tuple[AuditEntry, ...] = ()


async def look_up(store: Store) -> Lookup:
    """Raises store errors."""
    return Lookup(
        tuple(await store.jobs(limit=NEWEST)),
        tuple(await store.jobs(state=JobState.RUNNING, limit=RUNNING)),
        tuple(await store.audit(limit=AUDIT)),
    )


@dataclass(frozen=True, slots=True)
class JobLookup:
    """One job with its papers, and what was done to it."""

    job: Job
    papers: tuple[PaperResult, ...]
    audit: tuple[AuditEntry, ...]


async def look_up_job(store: Store, job_id: str) -> JobLookup:
    """Raises NotFound and store errors."""
    job = await store.job(job_id)
    if job is None:
        raise NotFound(f"there is no job {job_id}: check the id, or it was purged after its retention time")
    return JobLookup(job, tuple(await store.papers(job_id)), tuple(await store.audit(limit=AUDIT, subject=job_id)))


def job_line(job: Job) -> dict[str, object]:
    """wire.job_line with its texts cut."""
    line = wire.job_line(job)
    error = {"code": job.error.code, "message": short(job.error.message)} if job.error else None
    cut = {name: short(str(line[name])) for name in ("queue", "kind", "status_message")}
    return {**line, **cut, "error": error}
