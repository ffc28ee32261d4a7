"""Worker sessions: opened, kept alive by beats, ended once."""

from __future__ import annotations

from pymongo import UpdateOne

from gradewatch.model import BeatReply, Claimed, NewSession, Session
from gradewatch.stores.mongo import encode, rows
from gradewatch.stores.mongo.database import Database
from gradewatch.stores.mongo.either import listed
from gradewatch.stores.mongo.encode import Document
from gradewatch.stores.mongo.submit import make_ids
from gradewatch.stores.mongo.tallies import fold_some

ENDED_SHOWN = 300 * 1_000_000  # microseconds that an ended session is still listed
FOLD_BEATS = 10  # beats of a session from one folding to the next


async def open_session(data: Database, new: NewSession) -> str:
    now, first = await data.tick("jobs", 1)
    [session_id] = make_ids(now, first, 1)
    words = ("name", "host", "version", "target", "incarnation", "http")
    queues = encode.texts(new.queues)
    made: Document = {word: encode.text(getattr(new, word)) for word in words}
    made |= {"_id": session_id, "queues": queues, "slots": new.slots, "pid": new.pid, "busy": 0, "beats": 0}
    made |= {"started_at": now, "beat_at": now, "loop_age": 0.0, "ended_at": None, "end_reason": ""}
    if queues:
        served = [UpdateOne({"_id": one}, {"$setOnInsert": {"first_at": now}}, upsert=True) for one in queues]
        await data.served.bulk_write(served, ordered=False)
    await data.sessions.insert_one(made)
    return session_id


async def beat(data: Database, session_id: str, loop_age: float, busy: int) -> BeatReply:
    """Acknowledged by the primary alone: a beat that a failover takes away is followed by the next. The claims are
    read after it, so that a claim taken away before is never reported as held."""
    told = {"beats": {"$add": ["$beats", 1]}, "beat_at": data.moment, "loop_age": float(loop_age), "busy": busy}
    alive = await data.quick("sessions").find_one_and_update(
        {"_id": encode.text(session_id), "ended_at": None}, [{"$set": told}], {"beats": 1}
    )
    if alive is None:
        return BeatReply(session_open=False, held=frozenset())
    if alive["beats"] % FOLD_BEATS == FOLD_BEATS - 1:
        await fold_some(data)
    held = data.jobs.find({"state": "running", "session_id": encode.text(session_id)}, {"token": 1})
    return BeatReply(session_open=True, held=frozenset(Claimed(row["_id"], row["token"]) for row in await listed(held)))


async def end_session(data: Database, session_id: str, reason: str, beats: int | None) -> bool:
    """False when it had ended already, or, with `beats`, when it has beaten since that was read."""
    query: Document = {"_id": encode.text(session_id), "ended_at": None}
    if beats is not None:
        query["beats"] = beats
    told = {"ended_at": data.moment, "end_reason": {"$literal": encode.said(reason)}, "busy": 0}
    changed = await data.sessions.update_one(query, [{"$set": told}])
    return bool(changed.matched_count)


async def sessions(data: Database) -> list[Session]:
    shown = {"$gt": await data.now() - ENDED_SHOWN}
    found = data.sessions.find({"$or": [{"ended_at": None}, {"ended_at": shown}]}).sort([("started_at", 1), ("_id", 1)])
    return [rows.session(row) for row in await listed(found)]


async def served(data: Database) -> set[str]:
    """Queues that any worker has ever served."""
    return {row["_id"] for row in await listed(data.served.find({}))}
