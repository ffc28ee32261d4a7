"""What the watch must remember over its own restarts: pauses, credits, restarts, spent budgets; and leases."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from pymongo.errors import DuplicateKeyError

from gradewatch.model import ActionKind, ControlFacts, Credit, LeaseGrant, Outcome, Pause
from gradewatch.stores.mongo import encode, rows
from gradewatch.stores.mongo.audit import settle_begun
from gradewatch.stores.mongo.database import Database
from gradewatch.stores.mongo.either import listed
from gradewatch.stores.mongo.encode import Document
from gradewatch.stores.mongo.rows import BEGUN, when

DAY = 86_400 * 1_000_000
CREDIT_SPAN = 2 * DAY  # how far back anybody could still be blamed for waiting
MOST_CREDITS = 1000
MOST_RESTARTS = 100


async def control(data: Database, windows: Mapping[ActionKind, float]) -> ControlFacts:
    await settle_begun(data)
    now = await data.now()
    pauses, credits, restarts, resumed, *spent = await asyncio.gather(
        listed(data.pauses.find({}).sort("_id", -1).limit(MOST_CREDITS)),
        listed(data.credits.find({"end_at": {"$gt": now - CREDIT_SPAN}}).sort("end_at", -1).limit(MOST_CREDITS)),
        _restarts(data, now),
        data.meta.find_one({"_id": "resumed"}),
        *(_spent(data, action, now - encode.micros(window)) for action, window in windows.items()),
    )
    on = [row for row in pauses if _is_on(row, now)]
    return ControlFacts(
        now=when(now),
        pause=rows.pause(on[0]) if on else None,
        resumed_at=None if resumed is None else when(resumed["at"]),
        credits=_credits(credits, pauses, now),
        restarts=rows.restarts(restarts),
        spent={(action, row["_id"]): row["count"] for action, some in zip(windows, spent, strict=True) for row in some},
    )


def _is_on(pause: Document, now: int) -> bool:
    return pause["resumed_at"] is None and (pause["until"] is None or pause["until"] > now)


def _credits(kept: list[Document], pauses: list[Document], now: int) -> tuple[Credit, ...]:
    """Oldest first; what a pause has lasted so far is credited too."""
    spans = [(row["end_at"], row["start_at"], row["kind"]) for row in kept]
    for row in pauses:
        end = min(time for time in (now, row["until"], row["resumed_at"]) if time is not None)
        spans.append((end, row["started_at"], "pause"))
    told = sorted(span for span in spans if span[0] > now - CREDIT_SPAN and span[0] > span[1])
    return tuple(Credit(kind, when(start), when(end)) for end, start, kind in told[-MOST_CREDITS:])


async def _restarts(data: Database, now: int) -> list[Document]:
    outcome = {"$in": [Outcome.APPLIED.value, Outcome.FAILED.value]}
    query = {"action": "restart", "outcome": outcome, "at": {"$gt": now - DAY}, "spends": {"$gt": 0}}
    return await listed(data.audit.find(query).sort([("at", -1), ("_id", -1)]).limit(MOST_RESTARTS))


async def _spent(data: Database, action: ActionKind, since: int) -> list[Document]:
    """Applied repairs by queue. What was begun and is not settled yet counts too: it may have been done."""
    outcome = {"$in": [Outcome.APPLIED.value, BEGUN]}
    query = {"action": action.value, "outcome": outcome, "at": {"$gt": since}, "spends": {"$gt": 0}}
    count = {"_id": "$queue", "count": {"$sum": "$spends"}}
    return await listed(data.audit.aggregate([{"$match": query}, {"$group": count}]))


async def pause(data: Database, seconds: float | None, by: str, reason: str) -> Pause:
    """A pause takes the place of the one that is on."""
    now, number = await data.tick("pauses", 1)
    until = None if seconds is None else now + encode.micros(seconds)
    made: Document = {"_id": number, "started_at": now, "until": until, "resumed_at": None, "resumed_by": None}
    made |= {"by": encode.text(by), "reason": encode.said(reason)}

    async def work(session: Any) -> None:
        await _end_pause(data, session, now, by)
        await data.pauses.insert_one(made, session=session)

    await data.transact(work)
    return rows.pause(made)


async def resume(data: Database, by: str) -> bool:
    """The time is kept even when nothing was paused: a resume also forgives the restarts that did not help."""
    now = await data.now()
    await data.meta.update_one({"_id": "resumed"}, {"$set": {"at": now}}, upsert=True)
    return await _end_pause(data, None, now, by)


async def _end_pause(data: Database, session: Any, now: int, by: str) -> bool:
    query = {"resumed_at": None, "$or": [{"until": None}, {"until": {"$gt": now}}]}
    ended = {"$set": {"resumed_at": now, "resumed_by": encode.text(by)}}
    return bool((await data.pauses.update_many(query, ended, session=session)).modified_count)


async def add_credit(data: Database, credit: Credit) -> None:
    """Two watches that saw the same outage credit it once."""
    start, end = encode.micros_of(credit.start), encode.micros_of(credit.end)
    span = {"kind": credit.kind, "start_at": start, "end_at": end}
    await data.credits.update_one({"_id": f"{credit.kind}:{start}:{end}"}, {"$setOnInsert": span}, upsert=True)


async def acquire(data: Database, name: str, holder: str, ttl: float) -> LeaseGrant | None:
    """One update decides. After the clock was stepped back, a dead holder's lease must not outlive its own length from
    now."""
    length, now = encode.micros(ttl), data.moment
    mine = {"$eq": ["$holder", {"$literal": holder}]}
    free = {"$or": [mine, {"$lte": [{"$ifNull": ["$expires_at", 0]}, now]}]}
    term = {"$add": [{"$ifNull": ["$term", 0]}, {"$cond": [mine, 0, 1]}]}
    taken = {"term": term, "holder": {"$literal": holder}, "ttl": length, "expires_at": {"$add": [now, length]}}
    kept = {"expires_at": {"$min": ["$expires_at", {"$add": [now, "$ttl"]}]}}
    fields: Document = {
        field: {"$cond": ["$free", value, kept.get(field, f"${field}")]} for field, value in taken.items()
    }
    steps = [{"$set": {"free": free}}, {"$set": fields}, {"$unset": "free"}]
    for last in (False, True):
        try:
            lease = await data.leases.find_one_and_update(
                {"_id": encode.text(name)}, steps, upsert=True, return_document=True
            )
            break
        except DuplicateKeyError:  # two began it at the same moment: the second time it is there
            if last:
                raise
    return LeaseGrant(name, holder, lease["term"], ttl) if lease["holder"] == holder else None


async def release(data: Database, name: str, holder: str) -> None:
    given_up = {"$set": {"holder": "", "expires_at": 0}}
    await data.leases.update_one({"_id": encode.text(name), "holder": holder}, given_up)
