"""Putting back what a sweep changed, where it is still as the sweep left it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from pymongo import UpdateOne

from gradewatch.model import AuditEntry, Outcome
from gradewatch.stores.mongo import audit, encode, rows
from gradewatch.stores.mongo.database import Database
from gradewatch.stores.mongo.either import listed
from gradewatch.stores.mongo.encode import Document
from gradewatch.stores.mongo.tallies import Changes

CHUNK = 250
_OF_REPAIRS = {"outcome": Outcome.APPLIED.value, "action": {"$ne": "undo"}, "undone_at": None}


async def undo(data: Database, sweep: str, by: str, before: int) -> list[tuple[AuditEntry, bool]]:
    """Undo up to CHUNK entries of the sweep with ids under `before`, the newest first."""
    query = {"sweep": encode.text(sweep), "_id": {"$lt": before}, **_OF_REPAIRS, "after_state": {"$exists": True}}

    async def work(session: Any) -> list[tuple[AuditEntry, bool]]:
        entries = await listed(data.audit.find(query, session=session).sort("_id", -1).limit(CHUNK))
        if not entries:
            return []
        now, first = await data.tick("audit", len(entries))
        mark = uuid.uuid4().hex
        there = await _still_so(data, session, entries)
        lines = [_line(entry, by, entry["_id"] in there, first + place) for place, entry in enumerate(entries)]
        await audit.begin(data, session, lines, now)
        done = await _put_back(data, session, [entry for entry in entries if entry["_id"] in there], now, mark)
        for entry, line in zip(entries, lines, strict=True):
            if entry["_id"] not in done and line.outcome is Outcome.APPLIED:
                line.outcome, line.message = Outcome.NOOP, _no_longer(entry)
        undone = {"undone_at": now}
        await data.audit.update_many({"_id": {"$in": sorted(done)}}, {"$set": undone}, session=session)
        await audit.conclude(data, session, lines, now)
        await _count(data, session, [entry for entry in entries if entry["_id"] in done], now)
        return [
            (rows.audit_entry(entry | (undone if entry["_id"] in done else {})), entry["_id"] in done)
            for entry in entries
        ]

    return await data.transact(work)


def _guard(entry: Mapping[str, Any]) -> Document:
    """The mark is the change's own only while nothing else has changed the job."""
    was = {"state": entry["after_state"], "token": entry["after_token"], "write": entry["mark"]}
    return {"_id": entry["subject"], **was}


async def _still_so(data: Database, session: Any, entries: Sequence[Document]) -> set[int]:
    """Ids of those entries whose jobs are as the change left them."""
    ids = [entry["subject"] for entry in entries]
    found = data.jobs.find({"_id": {"$in": ids}}, {"state": 1, "token": 1, "write": 1}, session=session)
    jobs = {row["_id"]: row for row in await listed(found)}
    return {entry["_id"] for entry in entries if jobs.get(entry["subject"]) == _guard(entry)}


async def _put_back(data: Database, session: Any, entries: Sequence[Document], now: int, mark: str) -> set[int]:
    """Ids of those entries that were undone."""
    if not entries:
        return set()
    changes = [UpdateOne(_guard(entry), {"$set": _restored(entry["before"], now, mark)}) for entry in entries]
    await data.jobs.bulk_write(changes, ordered=False, session=session)
    if session is not None:
        return {entry["_id"] for entry in entries}
    kept = await audit.marked(data, [entry["subject"] for entry in entries], mark)
    return {entry["_id"] for entry in entries if entry["subject"] in kept}


def _restored(before: Mapping[str, Any], now: int, mark: str) -> Document:
    """What to write. A job that was running comes back as pending, that attempt given back: its worker was told to
    stop. One that was waiting has a fresh waiting clock."""
    kept = ("lost", "run_alone", "finished_at", "result", "error_code", "error_message")
    put: Document = {name: before[name] for name in kept} | {"session_id": None, "updated_at": now, "write": mark}
    if before["state"] == "running":
        return put | {"state": "pending", "attempt": before["attempt"] - 1, "started_at": None, "run_at": now}
    put |= {name: before[name] for name in ("state", "attempt", "started_at")}
    return put | {"run_at": now if before["state"] == "pending" else before["run_at"]}


def _line(entry: Mapping[str, Any], by: str, done: bool, number: int) -> audit.Line:
    return audit.Line(
        sweep=entry["sweep"],
        by=by,
        action="undo",
        queue=entry["queue"],
        subject=entry["subject"],
        outcome=Outcome.APPLIED if done else Outcome.NOOP,
        reason=entry["reason"],
        message=f"undid {entry['action']}" if done else _no_longer(entry),
        number=number,
    )


def _no_longer(entry: Mapping[str, Any]) -> str:
    return f"the job is no longer as the {entry['action']} left it"


async def _count(data: Database, session: Any, entries: Sequence[Document], now: int) -> None:
    changes = Changes()
    for entry in entries:
        was, before = entry["after_state"], entry["before"]["state"]
        became = "pending" if before == "running" else before
        if was != became:
            changes.moved({"queue": entry["queue"], "state": was}, became, now)
        else:
            changes.woken(entry["queue"])
    await changes.write(data, session)
