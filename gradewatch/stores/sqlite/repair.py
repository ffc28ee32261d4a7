"""The watch's guarded repairs: each re-checks what was read, and is one transaction with its audit entry."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence

from gradewatch.model import Action, ActionKind, JobError, JobRef, JobState, Outcome, Result
from gradewatch.stores.sqlite import audit, rows

_FAILED = "state = 'failed', finished_at = gw_now(), error_code = :code, error_message = :text"
_CHANGE = {
    ActionKind.EXPIRE: _FAILED,
    ActionKind.FAIL: f"{_FAILED}, lost = lost + (state = 'running')",
    ActionKind.REQUEUE: "state = 'pending', run_at = gw_now(), session_id = NULL, started_at = NULL, "
    "lost = lost + 1, run_alone = :run_alone",
}
_REPAIRABLE = {
    ActionKind.EXPIRE: (JobState.PENDING, JobState.RUNNING),
    ActionKind.FAIL: (JobState.PENDING, JobState.RUNNING),
    ActionKind.REQUEUE: (JobState.RUNNING,),
}
_LOOK = f"""
SELECT seq, id, state, token, session_id, run_at, attempt, max_attempts, {rows.BEFORE_SQL} AS before
FROM jobs WHERE id IN (SELECT value FROM json_each(?))
"""


def repair(connection: sqlite3.Connection, actions: Sequence[Action], sweep: str, by: str) -> list[Result]:
    """Look at all rows, change those that are as they were read, and write all audit entries: the write lock is held,
    so that nobody comes between."""
    repairs = [_Repair(action) for action in actions]
    found = connection.execute(_LOOK, (rows.dump([one.job.id for one in repairs]),))
    at_hand = {row["id"]: row for row in found}
    for one in repairs:
        one.judge(at_hand.get(one.job.id))
        if not one.moved:
            del at_hand[one.job.id]  # a second action on the same job comes too late
    for kind, change in _CHANGE.items():
        changes = [one.parameters() for one in repairs if one.kind is kind and not one.moved]
        connection.executemany(f"UPDATE jobs SET {change}, updated_at = gw_now() WHERE seq = :seq", changes)
    audit.write(connection, (one.line(sweep, by) for one in repairs))
    return [Result(one.action, one.outcome, one.detail) for one in repairs]


class _Repair:
    """One action on its way: what was found, and what is therefore done."""

    def __init__(self, action: Action) -> None:
        if action.job is None or action.kind not in _CHANGE:
            raise ValueError(f"{action.kind.value} is not a repair of a job")
        self.action = action
        self.job = action.job
        self.kind = action.kind
        self.row: sqlite3.Row | None = None
        self.moved = False
        self.detail = ""

    @property
    def outcome(self) -> Outcome:
        return Outcome.NOOP if self.moved else Outcome.APPLIED

    def judge(self, row: sqlite3.Row | None) -> None:
        self.row = row
        self.detail = _difference(self.kind, self.job, row)
        self.moved = bool(self.detail)
        if row is not None and not self.moved and self.kind is ActionKind.REQUEUE:
            self._charge(row)

    def _charge(self, row: sqlite3.Row) -> None:
        """A job without an attempt left fails: pending, it would be claimed for ever."""
        if row["attempt"] >= row["max_attempts"]:
            self.kind = ActionKind.FAIL
            self.detail = f"all {row['max_attempts']} attempts are spent: failed instead"

    def parameters(self) -> dict[str, object]:
        assert self.row is not None
        error = self.action.error or JobError(self.action.reason.value, self.action.message)
        return {
            "seq": self.row["seq"],
            "code": rows.text(error.code),
            "text": rows.text(error.message),
            "run_alone": self.action.run_alone,
        }

    def line(self, sweep: str, by: str) -> audit.Line:
        state = JobState.PENDING if self.kind is ActionKind.REQUEUE else JobState.FAILED
        return audit.Line(
            sweep=sweep,
            by=by,
            action=self.kind.value,
            queue=self.action.queue,
            subject=self.job.id,
            outcome=self.outcome,
            reason=self.action.reason.value,
            message=audit.with_detail(self.action.message, self.detail),
            before=self.row["before"] if self.row is not None else None,
            after=(state, self.job.token) if not self.moved else None,
        )


def _difference(kind: ActionKind, seen: JobRef, row: sqlite3.Row | None) -> str:
    """How the row differs from what was read; empty when it is still the same."""
    return next(_differences(kind, seen, row), "")


def _differences(kind: ActionKind, seen: JobRef, row: sqlite3.Row | None) -> Iterator[str]:
    if row is None:
        yield "the job is no longer there as it was"
        return
    if row["state"] != seen.state or seen.state not in _REPAIRABLE[kind]:
        yield f"the job is {row['state']} by now"
    if row["token"] != seen.token:
        yield "the job was claimed again meanwhile"
    if seen.state is JobState.PENDING and row["run_at"] != rows.to_micros(seen.run_at):
        yield "the job's wait began anew meanwhile"  # it was put back by hand: state and token are as before
    if kind is not ActionKind.EXPIRE and row["session_id"] != seen.session_id:
        yield "the job is held by another session by now"
