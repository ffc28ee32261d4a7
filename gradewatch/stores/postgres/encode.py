"""What goes to the functions: JSON, text that PostgreSQL can hold, jobs checked before they are sent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from gradewatch.errors import PayloadError
from gradewatch.model import Finish, FinishKind, JobError, NewJob, PaperResult

PAGE = 10_000  # the longest list one call may ask for
LARGEST = 2**63 - 1
LARGEST_PAYLOAD = 8 << 20  # bytes: each claim and each listing reads it whole
FOREVER = 10 * 365 * 86400 * 1_000_000  # the longest duration kept, so that no time leaves the calendar
_ENCODER = json.JSONEncoder(allow_nan=False, separators=(",", ":"))
_UNSAID = {
    FinishKind.FAIL: JobError("failed", "The worker gave up on this job and named no reason. Read its log."),
    FinishKind.RETRY: JobError("attempts_exhausted", "The last attempt failed too, and named no reason."),
}


class Json(str):
    """An argument that is JSON already."""

    __slots__ = ()


def dump(value: Any) -> Json:
    """Raises TypeError, ValueError or RecursionError for what JSON cannot hold."""
    return Json(_ENCODER.encode(value))


def text(value: str) -> str:
    """Text that PostgreSQL can hold: lone surrogates become question marks, as NUL becomes the replacement mark."""
    if value.isascii() and "\x00" not in value:
        return value
    return value.encode("utf-8", "replace").decode("utf-8").replace("\x00", "\ufffd")


def micros(seconds: float) -> int:
    """A duration in seconds as whole microseconds, kept between zero and ten years."""
    return int(max(0.0, min(seconds * 1e6, FOREVER)))


def page(limit: int) -> int:
    return max(0, min(limit, PAGE))


def new_jobs(jobs: Sequence[NewJob]) -> Json:
    """Raises PayloadError for what the store cannot keep."""
    return dump([_new_job(job) for job in jobs])


def _new_job(job: NewJob) -> dict[str, Any]:
    try:
        payload = dump(dict(job.payload))
        for word in (job.queue, job.kind, job.key or ""):
            word.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise PayloadError(f"A {job.kind!r} job cannot be kept as JSON: {error}.") from error
    if any("\x00" in word for word in (job.queue, job.kind, job.key or "")):
        raise PayloadError("A job's queue, kind and key cannot hold a NUL character.")
    if not 1 <= job.max_attempts <= LARGEST or abs(job.priority) > LARGEST or not 0 <= job.progress_total <= LARGEST:
        raise PayloadError("A job needs max_attempts of 1 or more, and a priority and total that fit 64 bits.")
    if not 0 <= job.delay * 1e6 <= FOREVER:
        raise PayloadError(f"A delay of {job.delay} s cannot be kept: it must be between zero and ten years.")
    if len(payload) > LARGEST_PAYLOAD:
        raise PayloadError(f"A payload holds at most {LARGEST_PAYLOAD >> 20} MiB: hand large files over as papers.")
    return {
        "queue": job.queue,
        "kind": job.kind,
        "key": job.key,
        "priority": job.priority,
        "max_attempts": job.max_attempts,
        "delay": micros(job.delay),
        "total": job.progress_total,
        "payload": payload,
        "papers": _papers(job),
    }


def _papers(job: NewJob) -> list[str]:
    """The SHA-256 of each paper file the job needs."""
    papers = job.payload.get("papers")
    if not isinstance(papers, Sequence):
        return []
    named = (paper.get("sha256") for paper in papers if isinstance(paper, dict))
    return [text(sha) for sha in named if isinstance(sha, str)]


def finishes(given: Sequence[Finish]) -> Json:
    return dump([_finish(finish) for finish in given])


def _finish(finish: Finish) -> dict[str, Any]:
    """A result that JSON cannot hold fails its own job, not the batch it travels in."""
    kind, error = finish.kind, finish.error or _UNSAID.get(finish.kind)
    if finish.kind is FinishKind.SUCCEED:
        error = None
    try:
        result = None if finish.result is None else dump(finish.result)
    except (TypeError, ValueError, RecursionError) as reason:
        kind, result = FinishKind.FAIL, None
        error = JobError("result_invalid", f"The worker's result cannot be kept as JSON: {reason}.")
    return {
        "id": text(finish.claim.id),
        "token": finish.claim.token,
        "kind": kind.value,
        "result": result,
        "delay": micros(finish.delay),
        **_error(error),
    }


def paper(result: PaperResult) -> tuple[Json, Json]:
    """The paper, and its detail. Raises PayloadError for a detail that JSON cannot hold."""
    try:
        detail = dump(result.detail)
    except (TypeError, ValueError, RecursionError) as error:
        raise PayloadError(f"The detail of paper {result.name!r} cannot be kept as JSON: {error}.") from error
    about = {
        "idx": result.index,
        "name": text(result.name),
        "status": result.status,
        "marks": result.marks,
        "max_marks": result.max_marks,
        **_error(result.error),
    }
    return dump(about), detail


def _error(error: JobError | None) -> dict[str, str | None]:
    if error is None:
        return {"code": None, "message": None}
    return {"code": text(error.code), "message": text(error.message)}
