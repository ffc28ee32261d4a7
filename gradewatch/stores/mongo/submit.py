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
        await data.jobs.insert_many(fresh, session=session)
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
        found = data.jobs.find({"queue": queue, "key": {"$in": some}}, {"key": 1}, session=session)
        known |= {(queue, row["key"]): row["_id"] for row in await listed(found)}
    return known
