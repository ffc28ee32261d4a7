"""Submitting jobs: in one transaction; a key already used in its queue answers the id of the job that has it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from pymongo.errors import BulkWriteError, DuplicateKeyError

from gradewatch.errors import StoreUnavailable
from gradewatch.model import NewJob
from gradewatch.stores.mongo import encode
from gradewatch.stores.mongo.database import Database
from gradewatch.stores.mongo.either import listed
from gradewatch.stores.mongo.encode import Document
from gradewatch.stores.mongo.faults import DUPLICATE, code_of
from gradewatch.stores.mongo.tallies import Changes

TRIES = 5  # each loses to another submission of the same key
BROKEN_OFF_AFTER = 60 * 1_000_000  # microseconds after which a submission has long ended or given up


def make_ids(now: int, first: int, count: int) -> list[str]:
    """Ids that sort by time, and within one moment by their order: 14 hex digits of microseconds, 8 of order, 4 of
    chance."""
    chance = secrets.randbits(16)
    return [f"{now:014x}{(first + place) & 0xFFFFFFFF:08x}{chance:04x}" for place in range(count)]


async def submit(data: Database, jobs: Sequence[NewJob]) -> list[str]:
    """Raises PayloadError for what the store cannot keep; then none of them is submitted."""
    prepared = [encode.new_job(job) for job in jobs]
    if not prepared:
        return []
    now, first = await data.tick("jobs", len(prepared))
    for one, job_id in zip(prepared, make_ids(now, first, len(prepared)), strict=True):
        one["_id"] = job_id
        one["created_at"] = one["updated_at"] = now
        one["run_at"] += now
        one["write"] = job_id
    for _ in range(TRIES):
        try:
            return await data.transact(lambda session: _insert(data, session, prepared))
        except (BulkWriteError, DuplicateKeyError) as error:
            if code_of(error) != DUPLICATE:
                raise
    raise StoreUnavailable(f"{data.address.shown}: others submit jobs of the same keys just now. Try again.")


async def _insert(data: Database, session: Any, prepared: Sequence[Document]) -> list[str]:
    known = await _known(data, session, prepared)
    fresh: list[Document] = []
    ids = []
    for one in prepared:
        name = (one["queue"], one.get("key"))
        if name[1] is not None and name in known:
            ids.append(known[name])
            continue
        known[name] = one["_id"]
        fresh.append(one)
        ids.append(one["_id"])
    if fresh:
        await _refer(data, session, fresh)
        await data.jobs.insert_many([{k: v for k, v in one.items() if k != "papers"} for one in fresh], session=session)
        changes = Changes()
        for one in fresh:
            changes.enqueued(one["queue"])
        await changes.write(data, session)
    return ids


async def _known(data: Database, session: Any, prepared: Sequence[Document]) -> dict[tuple[str, str | None], str]:
    """Ids by (queue, key), of the keys that are used already."""
    keys: dict[str, list[str]] = {}
    for one in prepared:
        if "key" in one:
            keys.setdefault(one["queue"], []).append(one["key"])
    known: dict[tuple[str, str | None], str] = {}
    for queue, some in keys.items():
        found = await listed(data.keys.find({"queue": queue, "key": {"$in": some}}, session=session))
        if session is None:
            found = await _still_used(data, found)
        known |= {(queue, row["key"]): row["job"] for row in found}
    return known


async def _still_used(data: Database, found: list[Document]) -> list[Document]:
    """Without transactions a submission may have been broken off between its key and its job: such a key is free."""
    ids = [row["job"] for row in found]
    there = {row["_id"] for row in await listed(data.jobs.find({"_id": {"$in": ids}}, {"_id": 1}))}
    free = [row["_id"] for row in found if row["job"] not in there]
    long_ago = f"{await data.now() - BROKEN_OFF_AFTER:014x}"
    await data.keys.delete_many({"_id": {"$in": free}, "job": {"$lt": long_ago}})
    return [row for row in found if row["job"] in there]


async def _refer(data: Database, session: Any, fresh: Sequence[Document]) -> None:
    """Keep the keys, and which papers the jobs need: beside the jobs, whose own indexes cost every change of them."""
    keys = [{"queue": one["queue"], "key": one["key"], "job": one["_id"]} for one in fresh if "key" in one]
    if keys:
        await data.keys.insert_many(keys, session=session)
    refs = [{"sha256": sha, "job": one["_id"]} for one in fresh for sha in one.get("papers", ())]
    if refs:
        await data.paper_refs.insert_many(refs, session=session)
