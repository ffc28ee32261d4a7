"""The watch's guarded repairs: each re-checks what was read, and is one transaction with its audit entry."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from gradewatch.model import Action, ActionKind, JobError, JobRef, JobState, Outcome, Result
from gradewatch.stores.sqlite import audit, rows

_FAILED = "state = 'failed', finished_at = gw_now(), error_code = given.code, error_message = given.message"
_CHANGE = {
    ActionKind.EXPIRE: _FAILED,
    ActionKind.FAIL: f"{_FAILED}, lost = lost + (state = 'running')",
    ActionKind.REQUEUE: "state = 'pending', run_at = gw_now(), session_id = NULL, started_at = NULL, "
    "lost = lost + 1, run_alone = given.run_alone",
}
_CHANGE_ALL = """
UPDATE jobs SET {assignments}, updated_at = gw_now() FROM (
  SELECT json_extract(value, '$[0]') AS seq, json_extract(value, '$[1]') AS code,
    json_extract(value, '$[2]') AS message, json_extract(value, '$[3]') AS run_alone
  FROM json_each(:changes)) AS given
WHERE jobs.seq = given.seq
"""
_REPAIRABLE = {
    ActionKind.EXPIRE: (JobState.PENDING, JobState.RUNNING),
    ActionKind.FAIL: (JobState.PENDING, JobState.RUNNING),
    ActionKind.REQUEUE: (JobState.RUNNING,),
}


class _Row(NamedTuple):
    """A job as it is now."""

    id: str
    seq: int
    state: str
    token: int
    session_id: str | None
    run_at: int
    attempt: int
    max_attempts: int


_LOOK = f"""
SELECT json_group_array(json_array({", ".join(_Row._fields)})) FROM jobs
WHERE id IN (SELECT value FROM json_each(:ids))
"""


def repair(connection: sqlite3.Connection, actions: Sequence[Action], sweep: str, by: str) -> list[Result]:
    """Look at all rows, write all audit entries, and change the rows that are as they were read: the write lock is
    held, so that nobody comes between. A few statements, however many rows."""
    repairs = [_Repair(action) for action in actions]
    found = rows.listed(connection, _LOOK, {"ids": rows.dump([one.job.id for one in repairs])})
    at_hand = {row[0]: _Row(*row) for row in found}
    for one in repairs:
        one.judge(at_hand.get(one.job.id))
        if not one.moved:
            del at_hand[one.job.id]  # a second action on the same job comes too late
    audit.write_repairs(connection, sweep, by, [one.line() for one in repairs])
    for kind, assignments in _CHANGE.items():
        if changes := [one.change() for one in repairs if one.kind is kind and not one.moved]:
            connection.execute(_CHANGE_ALL.format(assignments=assignments), {"changes": rows.dump(changes)})
    return [Result(one.action, one.outcome, one.detail) for one in repairs]


class _Repair:
    """One action on its way: what was found, and what is therefore done."""

    __slots__ = ("action", "detail", "job", "kind", "moved", "row")

    def __init__(self, action: Action) -> None:
        if action.job is None or action.kind not in _CHANGE:
            raise ValueError(f"{action.kind.value} is not a repair of a job")
        self.action = action
        self.job = action.job
        self.kind = action.kind
        self.row: _Row | None = None
        self.moved = False
        self.detail = ""

    @property
    def outcome(self) -> Outcome:
        return Outcome.NOOP if self.moved else Outcome.APPLIED

    def judge(self, row: _Row | None) -> None:
        self.row = row
        self.detail = _difference(self.kind, self.job, row)
        self.moved = bool(self.detail)
        if row is not None and not self.moved and self.kind is ActionKind.REQUEUE:
            self._charge(row)

    def _charge(self, row: _Row) -> None:
        """A job without an attempt left fails: pending, it would be claimed for ever."""
        if row.attempt >= row.max_attempts:
            self.kind = ActionKind.FAIL
            self.detail = f"all {row.max_attempts} attempts are spent: failed instead"

    def change(self) -> tuple[int, str, str, bool]:
        """Seq, error code, error message and run_alone, as _CHANGE_ALL takes them."""
        assert self.row is not None
        error = self.action.error or JobError(self.action.reason.value, self.action.message)
        return self.row.seq, rows.text(error.code), rows.text(error.message), self.action.run_alone

    def line(self) -> audit.RepairLine:
        state = JobState.PENDING if self.kind is ActionKind.REQUEUE else JobState.FAILED
        return audit.RepairLine(
            action=self.kind,
            queue=rows.text(self.action.queue),
            subject=self.job.id,
            outcome=self.outcome,
            reason=self.action.reason,
            message=rows.text(audit.with_detail(self.action.message, self.detail)),
            seq=self.row.seq if self.row is not None else None,
            after_state=None if self.moved else state,
            after_token=None if self.moved else self.job.token,
        )


def _difference(kind: ActionKind, seen: JobRef, row: _Row | None) -> str:
    """How the row differs from what was read; empty when it is still the same."""
    if row is None:
        return "the job is no longer there as it was"
    if row.state != seen.state or seen.state not in _REPAIRABLE[kind]:
        return f"the job is {row.state} by now"
    if row.token != seen.token:
        return "the job was claimed again meanwhile"
    if seen.state is JobState.PENDING and row.run_at != rows.to_micros(seen.run_at):
        return "the job's wait began anew meanwhile"  # it was put back by hand: state and token are as before
    if kind is not ActionKind.EXPIRE and row.session_id != seen.session_id:
        return "the job is held by another session by now"
    return ""
