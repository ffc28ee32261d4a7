"""The collections and indexes: creating them, and knowing whether those that are there are the right ones."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pymongo import IndexModel
from pymongo.errors import OperationFailure

from gradewatch.errors import SchemaMismatch
from gradewatch.stores.mongo.database import PREFIX, Database
from gradewatch.stores.mongo.either import listed, settle
from gradewatch.stores.mongo.faults import INDEX_NOT_FOUND, NAMESPACE_EXISTS

VERSION = 2
MIGRATE = 'run "gradewatch migrate"'


@dataclass(frozen=True, slots=True)
class Index:
    """`only` makes it partial: what is not in it costs it nothing."""

    collection: str
    name: str
    keys: Mapping[str, int]
    only: Mapping[str, Any] = field(default_factory=dict)
    unique: bool = False

    @property
    def options(self) -> dict[str, Any]:
        partial = {"partialFilterExpression": dict(self.only)} if self.only else {}
        return {"name": self.name, **partial} | ({"unique": True} if self.unique else {})


_PENDING = {"state": "pending"}
_LIVE = {"state": {"$gte": "pending", "$lte": "running"}}  # these two, and no other state lies between them
_SPENDS = {"spends": {"$gt": 0}}
# What only some states are asked for is in an index over these alone. The state is in its keys all the same: MongoDB
# would read every document to see that it has the state which its index promises. They are few: in a transaction
# MongoDB reads the list of all of a collection's indexes anew for each of them, with each document that it updates.
INDEXES = (
    Index(
        "jobs",
        "jobs_claim",
        {"state": 1, "queue": 1, "priority": -1, "_id": 1, "run_at": 1, "kind": 1, "run_alone": 1},
        _PENDING,
    ),
    # Pending jobs, which have no session, by their wait; running ones by session, for claims and beats: a probe walks
    # all of these, which are as many as all workers together have slots.
    Index(
        "jobs",
        "jobs_live",
        {"state": 1, "session_id": 1, "queue": 1, "run_at": 1, "started_at": 1, "kind": 1, "run_alone": 1},
        _LIVE,
    ),
    Index("jobs", "jobs_listing", {"queue": 1, "state": 1, "_id": -1}),
    Index("keys", "keys_key", {"queue": 1, "key": 1}, unique=True),
    Index("keys", "keys_job", {"job": 1}),
    Index("paper_refs", "paper_refs_sha256", {"sha256": 1}),
    Index("paper_refs", "paper_refs_job", {"job": 1}),
    Index("papers", "papers_job", {"job": 1, "idx": 1}, unique=True),
    Index("sessions", "sessions_ended", {"ended_at": 1}),
    Index("deltas", "deltas_queue", {"queue": 1, "_id": 1}),
    Index("audit", "audit_sweep", {"sweep": 1, "_id": 1}),
    Index("audit", "audit_subject", {"subject": 1, "_id": 1}),
    Index("audit", "audit_noted", {"queue": 1, "subject": 1, "_id": 1}, {"noted": True}),
    Index("audit", "audit_noted_at", {"queue": 1, "at": 1}, {"noted": True}),
    # What spends a budget: applied repairs that a watch decided on, by how many. A person's own act spends none.
    Index("audit", "audit_spending", {"action": 1, "outcome": 1, "at": 1, "queue": 1, "spends": 1}, _SPENDS),
    Index("pages", "pages_age", {"at": 1}),
    Index("spending", "spending_age", {"at": 1}),
    Index("files.files", "files_sha256", {"metadata.sha256": 1}),
    Index("files.files", "files_put", {"metadata.put_at": 1}),
    Index("files.files", "filename_1_uploadDate_1", {"filename": 1, "uploadDate": 1}),  # GridFS's own, by its names
    Index("files.chunks", "files_id_1_n_1", {"files_id": 1, "n": 1}, unique=True),
)
NO_SESSION = {"session_id": {"$type": "null"}}  # as all pending jobs: == null would be two walks, merged
# What earlier schemas had and nothing uses any more.
_GONE = (("jobs", "jobs_waiting"), ("jobs", "jobs_running"), ("audit", "audit_spent"))
_PLAIN = ("meta", "tallies", "served", "leases", "pauses", "credits", "troubles", "uploads", "begun")
COLLECTIONS = tuple(dict.fromkeys((*(index.collection for index in INDEXES), *_PLAIN)))
_WATCHED = ("jobs", "keys", "audit")  # whose missing indexes make the store slow, or let a key be used twice


def absent(place: str) -> SchemaMismatch:
    return SchemaMismatch(f"{place} has no gradewatch collections: {MIGRATE} to create them.")


async def verify(data: Database) -> None:
    """Raises SchemaMismatch where the collections are absent, older or newer than this version can use."""
    _compare(data.address.shown, await data.meta.find_one({"_id": "schema"}))


def _compare(place: str, found: Mapping[str, Any] | None) -> None:
    if found is None:
        raise absent(place)
    version = found["version"]
    if version < VERSION:
        raise SchemaMismatch(f"{place} has schema {version}, this version needs {VERSION}: {MIGRATE}.")
    if version > VERSION:
        raise SchemaMismatch(f"{place} has schema {version}, newer than this version's {VERSION}: update gradewatch.")


async def missing(data: Database) -> tuple[str, ...]:
    """Names of indexes that are not there."""
    lost = await asyncio.gather(*(_lacking(data, collection) for collection in _WATCHED))
    return tuple(sorted(index.name for some in lost for index in some))


async def _lacking(data: Database, collection: str) -> list[Index]:
    there = {index["name"] for index in await listed(data.collection(collection).list_indexes())}
    return [index for index in INDEXES if index.collection == collection and index.name not in there]


async def migrate(data: Database) -> list[str]:
    """Create or mend what is not there; returns what was done. Several processes may do so at the same time."""
    found = await data.meta.find_one({"_id": "schema"})
    if found is not None and found["version"] > VERSION:
        _compare(data.address.shown, found)
    there = set(await settle(data.handle.list_collection_names()))
    done = [await _created(data, name) for name in COLLECTIONS if PREFIX + name not in there]
    for collection in dict.fromkeys(index.collection for index in INDEXES):
        lacking = await _lacking(data, collection)
        if lacking:
            models = [IndexModel(list(index.keys.items()), **index.options) for index in lacking]
            await data.collection(collection).create_indexes(models)
        done += [f"index {index.name}" for index in lacking]
    if found is None or found["version"] < VERSION:
        for collection, name in _GONE:
            done += await _dropped(data, collection, name)
        await data.meta.update_one({"_id": "schema"}, {"$max": {"version": VERSION}}, upsert=True)
        done.append(f"schema version {VERSION}")
    return done


async def _dropped(data: Database, collection: str, index: str) -> list[str]:
    try:
        await data.collection(collection).drop_index(index)
    except OperationFailure as error:
        if error.code != INDEX_NOT_FOUND:
            raise
        return []
    return [f"index {index} dropped"]


async def _created(data: Database, name: str) -> str:
    try:
        await settle(data.handle.create_collection(PREFIX + name, check_exists=False))
    except OperationFailure as error:
        if error.code != NAMESPACE_EXISTS:  # another process was faster
            raise
    return f"collection {PREFIX}{name}"


def migration_text() -> str:
    """All of it as a script for mongosh, which may be run again."""
    lines = ["// mongosh <the URL of the database> this-file.js", "const there = db.getCollectionNames();"]
    for name in COLLECTIONS:
        lines.append(f'if (!there.includes("{PREFIX}{name}")) db.createCollection("{PREFIX}{name}");')
    for index in INDEXES:
        keys, options = json.dumps(dict(index.keys)), json.dumps(index.options)
        lines.append(f'db.getCollection("{PREFIX}{index.collection}").createIndex({keys}, {options});')
    for collection, name in _GONE:
        at = f'db.getCollection("{PREFIX}{collection}")'
        lines.append(f'if ({at}.getIndexes().some((one) => one.name === "{name}")) {at}.dropIndex("{name}");')
    version = f"{{$max: {{version: NumberInt({VERSION})}}}}"
    lines.append(f'db.{PREFIX}meta.updateOne({{_id: "schema"}}, {version}, {{upsert: true}});')
    return "\n".join([*lines, ""])
