"""What goes into documents: times in microseconds, text that BSON can hold, JSON checked before it is sent.

Payloads, results and details are kept as the JSON they were given as: a document could not hold every key and number
that JSON can, and the server would read them whole with every change of their job.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from gradewatch.errors import PayloadError
from gradewatch.model import Finish, FinishKind, JobError, NewJob, PaperResult

Document = dict[str, Any]

LARGEST = 2**63 - 1
LARGEST_PAYLOAD = 8 << 20  # bytes: each claim and each listing reads it whole
LARGEST_RESULT = 6 << 20  # bytes: a job's document holds its payload too, and at most 16 MB
LARGEST_DETAIL = 12 << 20
LONGEST_TEXT = 50_000  # characters of a message: no page shows more
PAGE = 10_000  # the longest list one call may ask for
FOREVER = 10 * 365 * 86400 * 1_000_000  # the longest duration kept, so that no time leaves the calendar
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ENCODER = json.JSONEncoder(allow_nan=False, separators=(",", ":"))
_UNSAID = {
    FinishKind.FAIL: JobError("failed", "The worker gave up on this job and named no reason. Read its log."),
    FinishKind.RETRY: JobError("attempts_exhausted", "The last attempt failed too, and named no reason."),
}


def micros(seconds: float) -> int:
    """A duration in seconds as whole microseconds, kept between zero and ten years."""
    return int(max(0.0, min(seconds * 1e6, FOREVER)))


def micros_of(when: datetime) -> int:
    return (when - EPOCH) // timedelta(microseconds=1)


def text(value: str) -> str:
    """Text that BSON can hold: lone surrogates, as broken input yields them, become question marks."""
    return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")


def said(value: str) -> str:
    """A message to people, cut where nobody reads on."""
    return text(value[:LONGEST_TEXT])


def page(limit: int) -> int:
    return max(0, min(limit, PAGE))


def texts(values: Collection[str]) -> list[str]:
    return [text(value) for value in values]


def dump(value: Any) -> str:
    """Raises TypeError, ValueError or RecursionError for what JSON cannot hold."""
    return _ENCODER.encode(value)


def new_job(job: NewJob) -> Document:
    """The document, but for its id and its times; `run_at` is the delay yet. Raises PayloadError for what the store
    cannot keep."""
    try:
        payload = dump(dict(job.payload))
        for word in (job.queue, job.kind, job.key or ""):
            word.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise PayloadError(f"A {job.kind!r} job cannot be kept as JSON: {error}.") from error
    if not 1 <= job.max_attempts <= LARGEST or abs(job.priority) > LARGEST or not 0 <= job.progress_total <= LARGEST:
        raise PayloadError("A job needs max_attempts of 1 or more, and a priority and total that fit 64 bits.")
    if not 0 <= job.delay * 1e6 <= FOREVER:
        raise PayloadError(f"A delay of {job.delay} s cannot be kept: it must be between zero and ten years.")
    if len(payload) > LARGEST_PAYLOAD:
        raise PayloadError(f"A payload holds at most {LARGEST_PAYLOAD >> 20} MiB: hand large files over as papers.")
    made: Document = {"queue": job.queue, "kind": job.kind, "state": "pending", "priority": job.priority}
    made |= {"attempt": 0, "max_attempts": job.max_attempts, "lost": 0, "token": 0, "run_alone": False, "waited": 0}
    made |= dict.fromkeys(("session_id", "started_at", "finished_at", "result", "error_code", "error_message"))
    made |= {"run_at": micros(job.delay), "progress_done": 0, "progress_total": job.progress_total}
    made |= {"status_message": "", "payload": payload}
    if job.key is not None:
        made["key"] = job.key
    if papers := _papers(job):
        made["papers"] = papers
    return made


def _papers(job: NewJob) -> list[str]:
    """The SHA-256 of each paper file the job needs."""
    papers = job.payload.get("papers")
    if not isinstance(papers, Sequence):
        return []
    named = (paper.get("sha256") for paper in papers if isinstance(paper, dict))
    return list(dict.fromkeys(text(sha) for sha in named if isinstance(sha, str)))


def finish(given: Finish) -> tuple[FinishKind, str | None, JobError | None]:
    """Kind, result and error as they will be written. A result that cannot be kept fails its own job, not the batch it
    travels in."""
    error = None if given.kind is FinishKind.SUCCEED else given.error or _UNSAID.get(given.kind)
    try:
        result = None if given.result is None else dump(given.result)
    except (TypeError, ValueError, RecursionError) as reason:
        why = f"The worker's result cannot be kept as JSON: {reason}."
        return FinishKind.FAIL, None, JobError("result_invalid", why)
    if result is not None and len(result) > LARGEST_RESULT:
        why = f"The worker's result is {len(result) >> 20} MiB of JSON, and {LARGEST_RESULT >> 20} MiB can be kept."
        return FinishKind.FAIL, None, JobError("result_invalid", why)
    return given.kind, result, error


def paper(result: PaperResult) -> Document:
    """Raises PayloadError for a detail that cannot be kept."""
    try:
        detail = dump(result.detail)
    except (TypeError, ValueError, RecursionError) as error:
        raise PayloadError(f"The detail of paper {result.name!r} cannot be kept as JSON: {error}.") from error
    if len(detail) > LARGEST_DETAIL:
        raise PayloadError(
            f"The detail of paper {result.name!r} is {len(detail) >> 20} MiB of JSON, and {LARGEST_DETAIL >> 20} MiB "
            "can be kept."
        )
    return {
        "name": said(result.name),
        "status": text(result.status),
        "marks": result.marks,
        "max_marks": result.max_marks,
        "detail": detail,
        **error_fields(result.error),
    }


def error_fields(error: JobError | None) -> Document:
    if error is None:
        return {"error_code": None, "error_message": None}
    return {"error_code": text(error.code), "error_message": said(error.message)}
