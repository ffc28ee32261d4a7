"""The port RowNotes: the audit trail of rows that another application owns. A note lies in its audit entry, as JSON, so
that values of any type stay what they were."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

from gradewatch.model import NotedRepair, Outcome, RowNote
from gradewatch.stores.mongo import audit, encode, rows
from gradewatch.stores.mongo.database import Database
from gradewatch.stores.mongo.either import listed
from gradewatch.stores.mongo.encode import Document

CHUNK = 500  # entries written at once


class RowNoteLog:
    """The port over the store's database."""

    _do: Callable[..., Awaitable[Any]]

    async def note_repairs(self, notes: Sequence[RowNote], *, sweep: str, by: str) -> list[int]:
        return list(await self._do(note_repairs, notes, sweep, by)) if notes else []

    async def unnote(self, ids: Sequence[int]) -> None:
        if ids:
            await self._do(unnote, ids)

    async def noted(
        self,
        queue: str,
        *,
        subjects: Collection[str] | None = None,
        sweep: str | None = None,
        within: float | None = None,
        limit: int = 1000,
    ) -> list[NotedRepair]:
        if not encode.page(limit):
            return []
        return list(await self._do(noted, queue, subjects, sweep, within, limit))

    async def note_undone(self, ids: Sequence[int], *, by: str) -> None:
        if ids:
            await self._do(note_undone, ids, by)


async def note_repairs(data: Database, notes: Sequence[RowNote], sweep: str, by: str) -> list[int]:
    now, first = await data.tick("audit", len(notes))
    made = [_document(note, sweep, by, first + place, now) for place, note in enumerate(notes)]

    async def work(session: Any) -> list[int]:
        for start in range(0, len(made), CHUNK):
            await data.audit.insert_many(made[start : start + CHUNK], session=session)
        return [document["_id"] for document in made]

    return await data.transact(work)


def _document(note: RowNote, sweep: str, by: str, number: int, now: int) -> Document:
    line = audit.Line(
        sweep=sweep,
        by=by,
        action=note.action,
        queue=note.queue,
        subject=note.subject,
        outcome=note.outcome,
        reason=note.reason,
        message=note.message,
        number=number,
    )
    kept = {"before": encode.dump(dict(note.before)), "after": encode.dump(dict(note.after))}
    return line.document(now) | {"noted": True, "note": kept}


async def unnote(data: Database, ids: Sequence[int]) -> None:
    came_to_nothing = {"$set": {"outcome": Outcome.NOOP.value}, "$unset": {"noted": "", "note": ""}}
    await data.audit.update_many({"_id": {"$in": list(ids)}, "noted": True}, came_to_nothing)


async def noted(
    data: Database,
    queue: str,
    subjects: Collection[str] | None,
    sweep: str | None,
    within: float | None,
    limit: int,
) -> list[NotedRepair]:
    query: Document = {"noted": True, "queue": encode.text(queue)}
    if subjects is not None:
        query["subject"] = {"$in": encode.texts(subjects)}
    if sweep is not None:
        query["sweep"] = encode.text(sweep)
    if within is not None:
        query["at"] = {"$gt": await data.now() - encode.micros(within)}
    found = await listed(data.audit.find(query).sort("_id", -1).limit(encode.page(limit)))
    return [_noted(entry) for entry in found]


def _noted(entry: Document) -> NotedRepair:
    note = RowNote(
        action=entry["action"],
        queue=entry["queue"],
        subject=entry["subject"],
        reason=entry["reason"],
        message=entry["message"],
        before=json.loads(entry["note"]["before"]),
        after=json.loads(entry["note"]["after"]),
        outcome=Outcome(entry["outcome"]),
    )
    undone = None if entry["undone_at"] is None else rows.when(entry["undone_at"])
    return NotedRepair(entry["_id"], entry["sweep"], rows.when(entry["at"]), note, undone)


async def note_undone(data: Database, ids: Sequence[int], by: str) -> None:
    query: Document = {"_id": {"$in": list(ids)}, "undone_at": None}

    async def work(session: Any) -> None:
        entries = await listed(data.audit.find(query, session=session).sort("_id", 1))
        if not entries:
            return
        now, first = await data.tick("audit", len(entries))
        await data.audit.update_many(query, {"$set": {"undone_at": now}}, session=session)
        lines = [_undoing(entry, by, first + place) for place, entry in enumerate(entries)]
        await data.audit.insert_many([line.document(now) for line in lines], session=session)

    await data.transact(work)


def _undoing(entry: Document, by: str, number: int) -> audit.Line:
    return audit.Line(
        sweep=entry["sweep"],
        by=by,
        action="undo",
        queue=entry["queue"],
        subject=entry["subject"],
        outcome=Outcome.APPLIED,
        reason=entry["reason"],
        message=f"undid {entry['action']}",
        number=number,
    )
