"""What a worker writes about a job it holds: progress, checkpoints, its end; each fenced by its token."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from gradewatch.errors import Conflict, PayloadError
from gradewatch.model import Claimed, Finish, FinishKind, JobError, PaperResult
from gradewatch.stores.sqlite import rows

_HELD = "id = :id AND state = 'running' AND token = :token"


def progress(connection: sqlite3.Connection, claim: Claimed, done: int, total: int, message: str) -> None:
    changed = connection.execute(
        f"UPDATE jobs SET progress_done = :done, progress_total = :total, status_message = :message, "
        f"updated_at = gw_now() WHERE {_HELD}",
        {"id": claim.id, "token": claim.token, "done": done, "total": total, "message": rows.text(message)},
    ).rowcount
    if not changed:
        raise _not_held(claim)


def prepare_detail(result: PaperResult) -> str:
    try:
        return rows.dump(result.detail)
    except (TypeError, ValueError, RecursionError) as error:
        raise PayloadError(f"The detail of paper {result.name!r} cannot be kept as JSON: {error}.") from error


_SAVE_PAPER = """
INSERT INTO papers (job_id, idx, name, status, marks, max_marks, detail, error_code, error_message, token)
VALUES (:job_id, :idx, :name, :status, :marks, :max_marks, :detail, :error_code, :error_message, :token)
ON CONFLICT (job_id, idx) DO UPDATE SET
  name = excluded.name, status = excluded.status, marks = excluded.marks, max_marks = excluded.max_marks,
  detail = excluded.detail, error_code = excluded.error_code, error_message = excluded.error_message,
  token = excluded.token, times_written = times_written + 1
WHERE (token, name, status, marks, max_marks, detail, error_code, error_message)
  IS NOT (excluded.token, excluded.name, excluded.status, excluded.marks, excluded.max_marks, excluded.detail,
          excluded.error_code, excluded.error_message)
RETURNING times_written
"""


def save_paper(connection: sqlite3.Connection, claim: Claimed, result: PaperResult, detail: str) -> None:
    held = {"id": claim.id, "token": claim.token}
    if not connection.execute(f"SELECT 1 FROM jobs WHERE {_HELD}", held).fetchone():
        raise _not_held(claim)
    parameters = {
        "job_id": claim.id,
        "token": claim.token,
        "idx": result.index,
        "name": rows.text(result.name),
        "status": result.status,
        "marks": result.marks,
        "max_marks": result.max_marks,
        "detail": detail,
        **_error(result.error),
    }
    if written := connection.execute(_SAVE_PAPER, parameters).fetchone():
        connection.execute(
            f"UPDATE jobs SET progress_done = progress_done + :new, updated_at = gw_now() WHERE {_HELD}",
            {**held, "new": int(written[0] == 1)},
        )


_FINISH = {
    FinishKind.SUCCEED: "state = 'succeeded', result = given.result, error_code = NULL, error_message = NULL, "
    "finished_at = gw_now()",
    FinishKind.FAIL: "state = 'failed', result = given.result, error_code = given.code, error_message = given.message, "
    "finished_at = gw_now()",
    FinishKind.RETRY: "state = 'pending', run_at = gw_now() + given.delay, session_id = NULL, started_at = NULL, "
    "error_code = given.code, error_message = given.message",
    # run_at stays: the job has been waiting since it was first eligible.
    FinishKind.RELEASE: "state = 'pending', attempt = attempt - 1, session_id = NULL, started_at = NULL",
}
_CHANGE = """
UPDATE jobs SET {assignments}, updated_at = gw_now() FROM (
  SELECT json_extract(value, '$[0]') AS seq, json_extract(value, '$[1]') AS result,
    json_extract(value, '$[2]') AS code, json_extract(value, '$[3]') AS message, json_extract(value, '$[4]') AS delay
  FROM json_each(:changes)) AS given
WHERE jobs.seq = given.seq
"""
_HELD_OF = """
SELECT json_group_array(json_array(id, token, seq, queue, attempt >= max_attempts)) FROM jobs
WHERE id IN (SELECT value FROM json_each(:ids)) AND state = 'running'
"""
_UNSAID = {
    FinishKind.FAIL: JobError("failed", "The worker gave up on this job and named no reason. Read its log."),
    FinishKind.RETRY: JobError("attempts_exhausted", "The last attempt failed too, and named no reason."),
}


@dataclass(frozen=True, slots=True)
class PreparedFinish:
    finish: Finish
    result: str | None


def prepare_finish(finish: Finish) -> PreparedFinish:
    """A result that JSON cannot hold fails its own job, not the batch it travels in."""
    try:
        return PreparedFinish(finish, None if finish.result is None else rows.dump(finish.result))
    except (TypeError, ValueError, RecursionError) as error:
        reason = JobError("result_invalid", f"The worker's result cannot be kept as JSON: {error}.")
        return PreparedFinish(replace(finish, kind=FinishKind.FAIL, result=None, error=reason), None)


def finish(connection: sqlite3.Connection, finishes: Sequence[PreparedFinish]) -> list[bool]:
    """Look at all rows, then change those still held: the write lock is held, so that nobody comes between."""
    ids = rows.dump([prepared.finish.claim.id for prepared in finishes])
    held = {Claimed(job_id, token): row for job_id, token, *row in rows.listed(connection, _HELD_OF, {"ids": ids})}
    changes: defaultdict[FinishKind, list[tuple[Any, ...]]] = defaultdict(list)
    worked: set[str] = set()
    answers = []
    for prepared in finishes:
        row = held.pop(prepared.finish.claim, None)  # a second finish of one claim comes too late
        answers.append(row is not None)
        if row is not None:
            seq, queue, spent = row
            kind = _kind(prepared.finish, spent)
            changes[kind].append((seq, *_given(prepared, kind)))
            if kind in (FinishKind.SUCCEED, FinishKind.FAIL):
                worked.add(queue)
    for kind, some in changes.items():
        connection.execute(_CHANGE.format(assignments=_FINISH[kind]), {"changes": rows.dump(some)})
    # Only a worker's own finish shows that work gets done; what a repair fails must not look like progress.
    connection.executemany("UPDATE counters SET last_finished_at = gw_now() WHERE queue = ?", [(q,) for q in worked])
    return answers


def _kind(finish: Finish, spent: int) -> FinishKind:
    """A retry without an attempt left is a failure."""
    return FinishKind.FAIL if finish.kind is FinishKind.RETRY and spent else finish.kind


def _given(prepared: PreparedFinish, kind: FinishKind) -> tuple[str | None, str | None, str | None, int]:
    """Result, error code, error message and delay, as _CHANGE takes them."""
    error = prepared.finish.error
    if error is None and kind is FinishKind.FAIL:
        error = _UNSAID[prepared.finish.kind]
    code, message = (None, None) if error is None else (rows.text(error.code), rows.text(error.message))
    return prepared.result, code, message, rows.micros(prepared.finish.delay)


def _error(error: JobError | None) -> dict[str, Any]:
    if error is None:
        return {"error_code": None, "error_message": None}
    return {"error_code": rows.text(error.code), "error_message": rows.text(error.message)}


def _not_held(claim: Claimed) -> Conflict:
    return Conflict(f"Job {claim.id} is no longer held with token {claim.token}: stop working on it. It is untouched.")
