"""Repairs of another application's rows. Noted first, then written under guard, then taken off the record where
somebody was faster: a watch that dies in between has spent its budget, and what it did can be undone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from gradewatch.errors import Conflict, NotFound, StoreError, StoreUnavailable
from gradewatch.model import (
    Action,
    ActionKind,
    AuditEntry,
    Code,
    Job,
    JobError,
    JobState,
    NotedRepair,
    Outcome,
    Result,
    RowNote,
)
from gradewatch.ports import RowNotes, Verb
from gradewatch.stores.mapping import writes
from gradewatch.stores.mapping.queue import ForeignQueue
from gradewatch.stores.mapping.row import doubled, read_row, shown, value
from gradewatch.stores.mapping.table import Row, Write
from gradewatch.stores.mapping.twice import untouched

MOST = 10_000  # repairs of one sweep that undo reaches
BATCH = 500  # of them put back in one write
OPERATOR = "operator"  # the reason of what a person does; it spends no budget
_FROM = {
    "requeue": (JobState.RUNNING, JobState.FAILED, JobState.CANCELLED),
    "fail": (JobState.PENDING, JobState.RUNNING),
    "cancel": (JobState.PENDING, JobState.RUNNING),
}
_UNSAID = {"requeue": "Queued again by hand.", "fail": "Failed by hand.", "cancel": "Cancelled by hand."}


class Repairing:
    """The writing side of one foreign queue. Raises store errors."""

    def __init__(self, queue: ForeignQueue, notes: RowNotes) -> None:
        self._queue, self._notes = queue, notes

    # ---------------------------------------------------------------- the watch's repairs

    async def repair(self, actions: Sequence[Action], *, sweep: str, by: str) -> list[Result]:
        """One result each: APPLIED, or NOOP where the row is no longer as it was read."""
        now = await self._queue.table.now()
        rows = await self._rows([_raw_id(action, self._queue.mapping.fields.id) for action in actions])
        plans = [self._plan(action, rows, now) for action in actions]
        made = [plan for plan in plans if isinstance(plan, tuple)]
        ids = await self._notes.note_repairs([noted for noted, _ in made], sweep=sweep, by=by)
        held = await self._write([write for _, write in made], ids)
        await self._notes.unnote([noted_id for noted_id, done in zip(ids, held, strict=True) if not done])
        done = iter(held)
        return [_result(action, plan, done) for action, plan in zip(actions, plans, strict=True)]

    async def _write(self, changes: Sequence[Write], ids: Sequence[int]) -> list[bool]:
        try:
            return await self._queue.table.write(changes) if changes else []
        except StoreUnavailable:
            raise  # whether it was done is not known: the entries stay, and the budget is spent
        except StoreError:
            await self._notes.unnote(ids)  # it was refused as a whole: nothing was written
            raise

    async def _rows(self, ids: Sequence[Any]) -> dict[str, list[Row]]:
        rows: dict[str, list[Row]] = {}
        for row in await self._queue.table.find(ids):
            rows.setdefault(str(value(row, self._queue.mapping.fields.id)), []).append(row)
        return rows

    def _plan(self, action: Action, rows: dict[str, list[Row]], now: datetime) -> tuple[RowNote, Write] | str:
        """The note and the write, or why there is none."""
        assert action.job is not None
        found = rows.get(action.job.id, [])
        if len(found) > 1:
            self._queue.reads.doubles[action.job.id] = len(found)
        if len(found) != 1:
            return "the job is no longer there" if not found else f"{len(found)} rows have this id: none is touched"
        verb = writes.VERB_OF[action.kind]
        error = action.error or JobError(action.reason.value, action.message)
        return self._change(action, verb, found[0], dict(action.job.seen), now, error)

    def _change(
        self, action: Action, verb: str, row: Row, guard: Row, now: datetime, error: JobError, *, anew: bool = False
    ) -> tuple[RowNote, Write]:
        columns = self._queue.reads.shape.columns
        values = writes.change(
            self._queue.mapping, verb, row, columns, now=now, code=error.code, error=error.message, anew=anew
        )
        if (listed := self._queue.mapping.fields.errors) in values:
            guard = {**guard, listed: value(row, listed)}  # it is written whole: what was added meanwhile must not go
        return writes.note(action, verb, row, values), writes.write_of(guard, values, columns)

    # ---------------------------------------------------------------- by hand

    async def operate(
        self, job_id: str, verb: Verb, *, by: str, sweep: str, message: str, seen: tuple[JobState, int] | None
    ) -> Job:
        now = await self._queue.table.now()
        found = await self._queue.table.find([job_id])
        if not found:
            raise NotFound(f"There is no job {job_id} in {self._queue.name}: check the id.")
        jobs = [read_row(self._queue.mapping, row, now) for row in found]
        if doubled(jobs):
            raise Conflict(f"{len(found)} rows of {self._queue.name} have the id {job_id}: none of them is touched.")
        job, row = jobs[0], found[0]
        if seen is not None and job.state is not seen[0]:
            raise Conflict(
                f"Job {job_id} is {_word(job.state)} by now and was {seen[0].value}: look again, then decide."
            )
        if job.state not in _FROM[verb]:
            allowed = " or ".join(state.value for state in _FROM[verb])
            raise Conflict(f"Job {job_id} is {_word(job.state)}; only a {allowed} job can be put to {verb!r}.")
        words = message or _UNSAID[verb]
        code = {"fail": "failed_by_operator", "cancel": "cancelled"}.get(verb, OPERATOR)
        action = Action(ActionKind.FAIL, self._queue.name, Code.JOB_TIMED_OUT, words, target=job_id)
        noted, write = self._change(action, verb, row, dict(job.seen), now, JobError(code, words), anew=True)
        entry = RowNote(verb, noted.queue, job_id, OPERATOR, words, noted.before, noted.after)
        ids = await self._notes.note_repairs([entry], sweep=sweep, by=by)
        if not (await self._write([write], ids))[0]:
            await self._notes.unnote(ids)
            raise Conflict(f"Job {job_id} changed at this very moment: look again, then decide. It is untouched.")
        [after] = await self._queue.table.find([job_id])
        return shown(read_row(self._queue.mapping, after, now), self._queue.name, now)

    # ---------------------------------------------------------------- undo

    async def undo(self, sweep: str, *, by: str) -> list[tuple[AuditEntry, bool]]:
        """Each row of the sweep that is still as we left it gets back the fields we changed."""
        noted = await self._notes.noted(self._queue.name, sweep=sweep, limit=MOST)
        open_ = [repair for repair in noted if repair.undone_at is None]
        back: list[tuple[AuditEntry, bool]] = []
        for start in range(0, len(open_), BATCH):
            back += await self._undo(open_[start : start + BATCH], by)
        return back

    async def _undo(self, noted: Sequence[NotedRepair], by: str) -> list[tuple[AuditEntry, bool]]:
        rows = await self._rows([repair.note.subject for repair in noted])
        columns = self._queue.reads.shape.columns
        changes = {r.id: c for r in noted if (c := self._restoring(r, rows.get(r.note.subject, []), columns))}
        held = await self._queue.table.write(list(changes.values())) if changes else []
        done = {repair_id for repair_id, restored in zip(changes, held, strict=True) if restored}
        await self._notes.note_undone(sorted(done), by=by)
        return [(entry_of(repair), repair.id in done) for repair in noted]

    def _restoring(self, repair: NotedRepair, rows: Sequence[Row], columns: Any) -> Write | None:
        before, after = writes.restored(repair.note.before), writes.restored(repair.note.after)
        if len(rows) != 1 or not writes.restorable(repair.note.before):
            return None
        row, fields = rows[0], self._queue.mapping.fields
        stored = {name: value(row, name) for name in after}
        if not untouched(stored, after):
            return None
        values = before
        if self._queue.mapping.words.state(before.get(fields.state)) is JobState.RUNNING:
            values = self._as_waiting(before)
        own = {"_id": row["_id"]} if "_id" in row else {}
        return writes.write_of({**own, fields.id: value(row, fields.id), **stored}, values, columns)

    def _as_waiting(self, before: dict[str, Any]) -> dict[str, Any]:
        """A job that was running comes back as pending: nobody may go on working on it unasked."""
        fields = self._queue.mapping.fields
        marks = dict.fromkeys(name for name in (*fields.started, *fields.worker) if name in before)
        return {**before, **marks, fields.state: self._queue.mapping.words.pending[0]}


def entry_of(repair: NotedRepair, by: str = "") -> AuditEntry:
    note = repair.note
    return AuditEntry(
        id=repair.id,
        sweep=repair.sweep,
        at=repair.at,
        by=by,
        action=note.action,
        queue=note.queue,
        subject=note.subject,
        outcome=note.outcome,
        reason=note.reason,
        message=note.message,
        before=note.before,
        undone_at=repair.undone_at,
    )


def _raw_id(action: Action, field: str) -> Any:
    assert action.job is not None
    return dict(action.job.seen).get(field, action.job.id)


def _result(action: Action, plan: tuple[RowNote, Write] | str, held: Any) -> Result:
    if isinstance(plan, str):
        return Result(action, Outcome.NOOP, plan)
    if next(held):
        return Result(action, Outcome.APPLIED)
    return Result(action, Outcome.NOOP, "the job is no longer as it was read")


def _word(state: JobState | None) -> str:
    return state.value if state else "in a state the settings do not know"
