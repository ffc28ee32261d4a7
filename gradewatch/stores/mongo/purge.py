"""Retention: old documents go in small batches. And what is mended where somebody has changed jobs by hand."""

from __future__ import annotations

from collections import Counter
from typing import Any

import structlog

from gradewatch.model import FINISHED
from gradewatch.stores.mongo import encode
from gradewatch.stores.mongo.control import CREDIT_SPAN
from gradewatch.stores.mongo.database import PREFIX, SNAPSHOT, Database
from gradewatch.stores.mongo.either import listed
from gradewatch.stores.mongo.encode import Document
from gradewatch.stores.mongo.tallies import Changes

log = structlog.get_logger(__name__)

CHUNK = 200  # documents purged in one call
_FINISHED = {"$in": sorted(state.value for state in FINISHED)}
_TIME = {"jobs": "finished_at", "sessions": "ended_at", "audit": "at", "pages": "at", "spending": "at"}


async def purge(data: Database, what: str, age: float, most: int) -> int:
    """Delete up to `most` documents of one kind that are older than `age` seconds; what belongs to a job goes with
    it."""
    time, long_ago = _TIME[what], await data.now() - encode.micros(age)
    old: Document = {time: {"$gt": 0, "$lt": long_ago}}
    first, order = old, time
    if what == "audit":  # it is written in order of time: its oldest entries are its first
        first, order = {}, "_id"
    elif what == "jobs":  # a job's id tells when it was made, before which it cannot have finished
        queues = await data.jobs.distinct("queue")
        first, order = {"queue": {"$in": queues}, "state": _FINISHED, "_id": {"$lt": f"{long_ago:014x}"}, **old}, "_id"
    found = data.collection(what).find(first, {"_id": 1}).sort(order, 1).limit(most)
    ids = [row["_id"] for row in await listed(found)]

    async def work(session: Any) -> int:
        done = await data.collection(what).delete_many({"_id": {"$in": ids}, **old}, session=session)
        if what == "jobs":
            left = await listed(data.jobs.find({"_id": {"$in": ids}}, {"_id": 1}, session=session))
            gone = set(ids) - {row["_id"] for row in left}
            for belongings in (data.papers, data.keys, data.paper_refs):
                await belongings.delete_many({"job": {"$in": sorted(gone)}}, session=session)
        return int(done.deleted_count)

    return await data.transact(work) if ids else 0


async def purge_credits(data: Database) -> None:
    """Credits and pauses so old that no job's wait can reach back to them."""
    long_ago = {"$lt": await data.now() - CREDIT_SPAN}
    await data.credits.delete_many({"end_at": long_ago})
    await data.pauses.delete_many({"$or": [{"until": long_ago}, {"resumed_at": long_ago}]})


async def mend(data: Database) -> None:
    """Put right what changes by hand left behind: a job set to pending still holds its session, under which no probe
    looks for jobs that wait; and depths are off."""
    held = {"state": "pending", "session_id": {"$type": "string"}}
    freed = await data.jobs.update_many(held, {"$set": {"session_id": None}})
    if freed.modified_count:
        log.warning("sessions taken off pending jobs", jobs=freed.modified_count, means="jobs were changed by hand")
    await _recount(data)


async def _recount(data: Database) -> None:
    """In one snapshot with the tallies, so that the difference holds whatever has been written since."""
    if not await data.replicated():
        return
    of = {"_id": "$queue", "jobs": {"$sum": 1}}
    counted = {
        "pending": ("jobs", [{"$match": {"state": "pending"}}, {"$group": of}]),
        "running": ("jobs", [{"$match": {"state": "running"}}, {"$group": of}]),
        "told": ("tallies", [{"$project": {"jobs": "$n.live"}}]),
        "since": ("deltas", [{"$group": {"_id": "$queue", "jobs": {"$sum": "$n.live"}}}]),
    }
    lookups = [
        {"$lookup": {"from": f"{PREFIX}{collection}", "pipeline": pipeline, "as": name}}
        for name, (collection, pipeline) in counted.items()
    ]
    meta = data.meta.with_options(read_concern=SNAPSHOT)
    [facts] = await listed(meta.aggregate([{"$match": {"_id": "schema"}}, *lookups]))
    off: Counter[str] = Counter()
    for name in counted:
        for row in facts[name]:
            off[row["_id"]] += row.get("jobs", 0) * (1 if name in ("pending", "running") else -1)
    changes = Changes()
    for queue, difference in off.items():
        if difference:
            log.warning("depth put right", queue=queue, by=difference, means="jobs were changed by hand")
            changes.corrected(queue, difference)
    await changes.write(data, None)
