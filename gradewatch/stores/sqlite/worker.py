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
INSERT INTO papers (job_id, idx, name, status, marks, max_marks, detail, error_code, error_message)
VALUES (:job_id, :idx, :name, :status, :marks, :max_marks, :detail, :error_code, :error_message)
ON CONFLICT (job_id, idx) DO UPDATE SET
  name = excluded.name, status = excluded.status, marks = excluded.marks, max_marks = excluded.max_marks,
  detail = excluded.detail, error_code = excluded.error_code, error_message = excluded.error_message,
  times_written = times_written + 1
RETURNING times_written
"""


def save_paper(connection: sqlite3.Connection, claim: Claimed, result: PaperResult, detail: str) -> None:
    held = {"id": claim.id, "token": claim.token}
    if not connection.execute(f"SELECT 1 FROM jobs WHERE {_HELD}", held).fetchone():
        raise _not_held(claim)
    parameters = {
        "job_id": claim.id,
        "idx": result.index,
        "name": rows.text(result.name),
        "status": result.status,
        "marks": result.marks,
        "max_marks": result.max_marks,
        "detail": detail,
        **_error(result.error),
    }
    written = connection.execute(_SAVE_PAPER, parameters).fetchone()[0]
    connection.execute(
        f"UPDATE jobs SET progress_done = progress_done + :new, updated_at = gw_now() WHERE {_HELD}",
        {**held, "new": int(written == 1)},
    )


_FINISH = {
    FinishKind.SUCCEED: "state = 'succeeded', result = :result, error_code = NULL, error_message = NULL, "
    "finished_at = gw_now()",
    FinishKind.FAIL: "state = 'failed', result = :result, error_code = :error_code, error_message = :error_message, "
    "finished_at = gw_now()",
    FinishKind.RETRY: "state = 'pending', run_at = gw_now() + :delay, session_id = NULL, started_at = NULL, "
    "error_code = :error_code, error_message = :error_message",
    # run_at stays: the job has been waiting since it was first eligible.
    FinishKind.RELEASE: "state = 'pending', attempt = attempt - 1, session_id = NULL, started_at = NULL",
}
_HELD_OF = """
SELECT id, seq, queue, token, attempt >= max_attempts AS spent FROM jobs
WHERE id IN (SELECT value FROM json_each(?)) AND state = 'running'
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
    wanted = rows.dump([prepared.finish.claim.id for prepared in finishes])
    held = {Claimed(row["id"], row["token"]): row for row in connection.execute(_HELD_OF, (wanted,))}
    changes: defaultdict[FinishKind, list[dict[str, Any]]] = defaultdict(list)
    worked: set[str] = set()
    answers = []
    for prepared in finishes:
        row = held.pop(prepared.finish.claim, None)  # a second finish of one claim comes too late
        answers.append(row is not None)
        if row is not None:
            kind = _kind(prepared.finish, row)
            changes[kind].append(_change(prepared, kind, row))
            if kind in (FinishKind.SUCCEED, FinishKind.FAIL):
                worked.add(row["queue"])
    for kind, some in changes.items():
        connection.executemany(f"UPDATE jobs SET {_FINISH[kind]}, updated_at = gw_now() WHERE seq = :seq", some)
    # Only a worker's own finish shows that work gets done; what a repair fails must not look like progress.
    connection.executemany("UPDATE counters SET last_finished_at = gw_now() WHERE queue = ?", [(q,) for q in worked])
    return answers


def _kind(finish: Finish, row: sqlite3.Row) -> FinishKind:
    """A retry without an attempt left is a failure."""
    return FinishKind.FAIL if finish.kind is FinishKind.RETRY and row["spent"] else finish.kind


def _change(prepared: PreparedFinish, kind: FinishKind, row: sqlite3.Row) -> dict[str, Any]:
    error = prepared.finish.error
    if error is None and kind is FinishKind.FAIL:
        error = _UNSAID[prepared.finish.kind]
    return {
        "seq": row["seq"],
        "result": prepared.result,
        "delay": rows.micros(prepared.finish.delay),
        **_error(error),
    }


def _error(error: JobError | None) -> dict[str, Any]:
    if error is None:
        return {"error_code": None, "error_message": None}
    return {"error_code": rows.text(error.code), "error_message": rows.text(error.message)}


def _not_held(claim: Claimed) -> Conflict:
    return Conflict(f"Job {claim.id} is no longer held with token {claim.token}: stop working on it. It is untouched.")
