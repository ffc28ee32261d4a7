"""The watch's guarded repairs: each re-checks what was read, and is one transaction with its audit entry."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from pymongo import UpdateMany, UpdateOne

from gradewatch.model import Action, ActionKind, JobError, JobRef, JobState, Outcome, Result
from gradewatch.stores.mongo import audit, encode
from gradewatch.stores.mongo.database import Database
from gradewatch.stores.mongo.either import listed
from gradewatch.stores.mongo.encode import Document
from gradewatch.stores.mongo.tallies import Changes

ABREAST = 4  # chunks repaired at the same time: while some are being written, the next ones are prepared
CHUNK = 500  # jobs repaired in one transaction, some 60 ms: the watch's 2,000 (remediation.batch) take one round
_REPAIRABLE = {
    ActionKind.EXPIRE: (JobState.PENDING, JobState.RUNNING),
    ActionKind.FAIL: (JobState.PENDING, JobState.RUNNING),
    ActionKind.REQUEUE: (JobState.RUNNING,),
}
_LOOKED_AT = {"payload": 0, "key": 0}


async def repair(data: Database, actions: Sequence[Action], sweep: str, by: str) -> list[Result]:
    """Look at all documents, change those that are as they were read, and write all audit entries. In a transaction
    another's write to one of them breaks it off, and all are looked at anew. No job may be among them twice."""
    for action in actions:
        if action.job is None or action.kind not in _REPAIRABLE:
            raise ValueError(f"{action.kind.value} is not a repair of a job")
    now, first = await data.tick("audit", len(actions))

    async def work(session: Any) -> list[Result]:
        repairs = [_Repair(action, now) for action in actions]
        await _judge(data, session, repairs)
        lines = [one.line(sweep, by, first + place) for place, one in enumerate(repairs)]
        await audit.begin(data, session, lines, now)
        await _change(data, session, repairs)
        if session is None:
            await _notice_losses(data, repairs, lines)
        await audit.conclude(data, session, lines, now)
        await _count(data, session, repairs, now)
        return [Result(one.action, one.outcome, one.detail) for one in repairs]

    return await data.transact(work) if actions else []


class _Repair:
    """One action on its way: what was found, and what is therefore done."""

    def __init__(self, action: Action, now: int) -> None:
        assert action.job is not None
        self.action, self.job, self.kind, self.now = action, action.job, action.kind, now
        self.id = encode.text(action.job.id)
        self.row: Document | None = None
        self.mark = ""
        self.moved = False
        self.detail = ""

    @property
    def outcome(self) -> Outcome:
        return Outcome.NOOP if self.moved else Outcome.APPLIED

    def judge(self, row: Document | None) -> None:
        self.row = row
        self.detail = next(_differences(self.kind, self.job, row), "")
        self.moved = bool(self.detail)
        if row is not None and not self.moved and self.kind is ActionKind.REQUEUE:
            self._charge(row)

    def _charge(self, row: Document) -> None:
        """A job without an attempt left fails: pending, it would be claimed for ever."""
        if row["attempt"] >= row["max_attempts"]:
            self.kind = ActionKind.FAIL
            self.detail = f"all {row['max_attempts']} attempts are spent: failed instead"

    def lost(self) -> None:
        self.moved, self.detail = True, "the job was changed just before"

    @property
    def error(self) -> JobError:
        return self.action.error or JobError(self.action.reason.value, self.action.message)

    def change(self) -> Document:
        put: Document = {"updated_at": self.now, "write": self.mark}
        lost = int(self.kind is not ActionKind.EXPIRE and self.job.state is JobState.RUNNING)
        if self.kind is ActionKind.REQUEUE:
            put |= {"state": "pending", "run_at": self.now, "session_id": None, "started_at": None}
            put["run_alone"] = self.action.run_alone
        else:
            put |= {"state": "failed", "finished_at": self.now, **encode.error_fields(self.error)}
        return {"$set": put, "$inc": {"lost": lost}} if lost else {"$set": put}

    def line(self, sweep: str, by: str, number: int) -> audit.Line:
        state = "pending" if self.kind is ActionKind.REQUEUE else "failed"
        return audit.Line(
            sweep=sweep,
            by=by,
            action=self.kind.value,
            queue=self.action.queue,
            subject=self.job.id,
            outcome=self.outcome,
            reason=self.action.reason.value,
            message=audit.with_detail(self.action.message, self.detail),
            before=self.row,
            after=None if self.moved else (state, self.job.token),
            mark=self.mark,
            number=number,
        )


def _differences(kind: ActionKind, seen: JobRef, row: Document | None) -> Iterator[str]:
    """How the row differs from what was read; nothing when it is still the same."""
    if row is None:
        yield "the job is no longer there as it was"
        return
    if row["state"] != seen.state or seen.state not in _REPAIRABLE[kind]:
        yield f"the job is {row['state']} by now"
    if row["token"] != seen.token:
        yield "the job was claimed again meanwhile"
    if seen.state is JobState.PENDING and row["run_at"] != encode.micros_of(seen.run_at):
        yield "the job's wait began anew meanwhile"  # it was put back by hand: state and token are as before
    if kind is not ActionKind.EXPIRE and row["session_id"] != seen.session_id:
        yield "the job is held by another session by now"


async def _judge(data: Database, session: Any, repairs: Sequence[_Repair]) -> None:
    ids = [one.id for one in repairs]
    found = await listed(data.jobs.find({"_id": {"$in": ids}}, _LOOKED_AT, session=session, batch_size=len(ids) + 1))
    at_hand = {row["_id"]: row for row in found}
    mark = uuid.uuid4().hex
    for one in repairs:
        one.mark = mark
        one.judge(at_hand.get(one.id))


async def _change(data: Database, session: Any, repairs: Sequence[_Repair]) -> None:
    """In a transaction, in as few statements as there are different changes; else each by itself, guarded by the mark
    of the last write that was seen, too."""
    alike: defaultdict[tuple[Any, ...], list[_Repair]] = defaultdict(list)
    for place, one in enumerate(repairs):
        if not one.moved:
            kind = (one.kind, one.job.state, one.job.token, one.error, one.action.run_alone)
            alike[kind if session is not None else (place,)].append(one)
    updates: list[UpdateMany | UpdateOne] = []
    for some in alike.values():
        first = some[0]
        guard: Document = {"state": first.job.state.value, "token": first.job.token}
        if session is not None:
            updates.append(UpdateMany({"_id": {"$in": [one.id for one in some]}, **guard}, first.change()))
        else:
            assert first.row is not None
            updates.append(UpdateOne({"_id": first.id, **guard, "write": first.row["write"]}, first.change()))
    if updates:
        await data.jobs.bulk_write(updates, ordered=False, session=session)


async def _notice_losses(data: Database, repairs: Sequence[_Repair], lines: Sequence[audit.Line]) -> None:
    """Without a transaction somebody may have come between the look and the change."""
    applied = [(one, line) for one, line in zip(repairs, lines, strict=True) if not one.moved]
    kept = await audit.marked(data, [one.id for one, _ in applied], applied[0][0].mark) if applied else set()
    for one, line in applied:
        if one.id not in kept:
            one.lost()
            line.outcome, line.message = one.outcome, audit.with_detail(one.action.message, one.detail)


async def _count(data: Database, session: Any, repairs: Sequence[_Repair], now: int) -> None:
    changes = Changes()
    for one in repairs:
        if not one.moved and one.row is not None:
            changes.moved(one.row, "pending" if one.kind is ActionKind.REQUEUE else "failed", now)
    await changes.write(data, session)
