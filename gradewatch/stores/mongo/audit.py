"""The audit trail: what was decided, what came of it, and the row as it was before.

In a transaction an entry is written with its change. On a standalone server it is written first, as begun, and its
outcome once that is known: a change without its entry there never is, and what a crash leaves begun is settled later.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from gradewatch.errors import Conflict
from gradewatch.model import Action, AuditEntry, Outcome
from gradewatch.stores.mongo import encode, rows
from gradewatch.stores.mongo.database import Database
from gradewatch.stores.mongo.either import listed
from gradewatch.stores.mongo.encode import Document
from gradewatch.stores.mongo.rows import BEGUN

OPERATOR = "operator"  # the reason that a person's own acts carry; they spend no budget
SETTLED_AFTER = 60 * 1_000_000  # microseconds in which whoever has begun something has long ended or given up
SETTLED = 500  # entries settled at once
_UNKNOWN = "it was broken off, and whether it was done can no longer be told"


@dataclass(slots=True)
class Line:
    """An entry to be written. `before` is the job's document; `after` the (state, token) that the change leaves, and
    `mark` what it leaves on the document: together they tell whether the job is still as the change left it."""

    sweep: str
    by: str
    action: str
    queue: str
    subject: str
    outcome: Outcome
    reason: str
    message: str
    before: Document | None = None
    after: tuple[str, int] | None = None
    mark: str = ""
    number: int = 0

    def document(self, at: int) -> Document:
        made: Document = {
            "_id": self.number,
            "at": at,
            "outcome": self.outcome.value,
            "sweep": encode.text(self.sweep),
            "by": encode.text(self.by),
            "action": self.action,
            "queue": encode.text(self.queue),
            "subject": encode.text(self.subject),
            "reason": self.reason,
            "message": encode.said(self.message),
            "before": None if self.before is None else rows.before(self.before),
        }
        if self.after is not None:
            made |= {"after_state": self.after[0], "after_token": self.after[1], "mark": self.mark}
        if self.reason != OPERATOR:
            made["spends"] = 1
        return made | {"verified": None, "undone_at": None}


async def begin(data: Database, session: Any, lines: Sequence[Line], at: int) -> None:
    """Before the changes: on a standalone server, say that they are begun."""
    if session is None and lines:
        begun = {"outcome": BEGUN}
        made = [line.document(at) | (begun if line.outcome is Outcome.APPLIED else {}) for line in lines]
        await data.begun.insert_many([{"_id": line.number, "at": at} for line in lines])
        await data.audit.insert_many(made)


async def conclude(data: Database, session: Any, lines: Sequence[Line], at: int) -> None:
    """After the changes: write the entries, or on a standalone server their outcomes."""
    if not lines:
        return
    if session is not None:
        await data.audit.insert_many(_weighed([line.document(at) for line in lines]), session=session)
        return
    done = [line.number for line in lines if line.outcome is Outcome.APPLIED]
    await data.audit.update_many({"_id": {"$in": done}}, {"$set": {"outcome": Outcome.APPLIED.value}})
    for line in lines:
        if line.outcome is not Outcome.APPLIED:
            told = {"outcome": line.outcome.value, "message": encode.said(line.message)}
            await data.audit.update_one({"_id": line.number, "outcome": BEGUN}, {"$set": told})
    await data.begun.delete_many({"_id": {"$in": [line.number for line in lines]}})


def _weighed(entries: list[Document]) -> list[Document]:
    """What is written together spends its budget in the first entry of its kind: each cycle adds up what is spent."""
    firsts: dict[tuple[str, str], Document] = {}
    for entry in entries:
        if "spends" in entry and entry["outcome"] == Outcome.APPLIED.value:
            first = firsts.setdefault((entry["action"], entry["queue"]), entry)
            if first is not entry:
                first["spends"] += entry.pop("spends")
    return entries


async def settle_begun(data: Database) -> None:
    """Tell of entries that were begun long ago whether they were done: their mark is on the job, or it is not."""
    if await data.replicated():
        return
    long_ago = await data.now() - SETTLED_AFTER
    begun = await listed(data.begun.find({"at": {"$lt": long_ago}}).limit(SETTLED))
    numbers = [row["_id"] for row in begun]
    for entry in await listed(data.audit.find({"_id": {"$in": numbers}, "outcome": BEGUN})) if numbers else ():
        done = await data.jobs.find_one({"_id": entry["subject"], "write": entry.get("mark")}, {"_id": 1})
        told: Document = {"outcome": (Outcome.FAILED if done is None else Outcome.APPLIED).value}
        if done is None:
            told["message"] = with_detail(entry["message"], _UNKNOWN)
        await data.audit.update_one({"_id": entry["_id"], "outcome": BEGUN}, {"$set": told})
    if numbers:
        await data.begun.delete_many({"_id": {"$in": numbers}})


async def record(data: Database, action: Action, outcome: Outcome, sweep: str, by: str, detail: str) -> int:
    now, number = await data.tick("audit", 1)
    line = Line(
        sweep=sweep,
        by=by,
        action=action.kind.value,
        queue=action.queue,
        subject=action.subject,
        outcome=outcome,
        reason=action.reason.value,
        message=with_detail(action.message, detail),
        number=number,
    )
    await data.audit.insert_one(line.document(now))
    return number


def with_detail(message: str, detail: str) -> str:
    return f"{message} ({detail})" if detail else message


async def amend(data: Database, audit_id: int, outcome: Outcome | None, verified: bool | None) -> None:
    words: Document = {"outcome": outcome.value if outcome else None, "verified": verified}
    told = {name: word for name, word in words.items() if word is not None}
    update = {"$set": told} if told else {"$setOnInsert": {}}
    if not (await data.audit.update_one({"_id": audit_id}, update)).matched_count:
        raise Conflict(f"There is no audit entry {audit_id}: it may have been purged.")


async def entries(
    data: Database, limit: int, sweep: str | None, subject: str | None, before: int | None
) -> list[AuditEntry]:
    words = {"sweep": sweep, "subject": subject}
    query: Document = {name: encode.text(word) for name, word in words.items() if word is not None}
    if before is not None:
        query["_id"] = {"$lt": max(0, min(before, encode.LARGEST))}
    if not encode.page(limit):
        return []
    found = await listed(data.audit.find(query).sort("_id", -1).limit(encode.page(limit)))
    return [rows.audit_entry(row) for row in found]


async def marked(data: Database, ids: Collection[str], mark: str) -> set[str]:
    """Those of the jobs that carry the mark of a change: on a standalone server, what was done."""
    found = await listed(data.jobs.find({"_id": {"$in": list(ids)}, "write": mark}, {"_id": 1}))
    return {row["_id"] for row in found}
