"""MongoDB: creating the collections, and what is said of those that are not as they should be."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import mongo_server
import pytest
from mongo_kit import handle, refusal
from store_kit import Hands, new

from gradewatch.errors import SchemaMismatch
from gradewatch.stores.mongo import MongoStore, schema


@pytest.fixture
def database() -> Iterator[Any]:
    """A database that nobody has used yet."""
    with mongo_server.server().client() as hand:
        name = f"fresh-{uuid.uuid4().hex[:8]}"
        yield hand[name]
        hand.drop_database(name)


def url_of(database: Any) -> str:
    return mongo_server.server().url(database.name)


async def test_opening_creates_nothing_and_says_what_to_do(database: Any) -> None:
    error = await refusal(url_of(database))
    assert isinstance(error, SchemaMismatch)
    assert "has no gradewatch collections" in str(error)
    assert "gradewatch migrate" in str(error)
    assert database.list_collection_names() == []


async def test_migrating_is_done_once_by_several_at_a_time(database: Any) -> None:
    stores = [MongoStore(url_of(database)) for _ in range(3)]
    await asyncio.gather(*(store.migrate() for store in stores))
    assert [await store.migrate() for store in stores] == [[], [], []]
    for store in stores:
        await store.open()
        assert (await store.check([])).missing_indexes == ()
        await store.close()


@pytest.mark.parametrize(("version", "said"), [(0, "this version needs"), (99, "newer than this version")])
async def test_another_version(database: Any, version: int, said: str) -> None:
    async with handle(url_of(database)):
        pass
    database["gradewatch_meta"].update_one({"_id": "schema"}, {"$set": {"version": version}})
    error = await refusal(url_of(database))
    assert isinstance(error, SchemaMismatch)
    assert said in str(error)
    store = MongoStore(url_of(database))
    if version > schema.VERSION:
        with pytest.raises(SchemaMismatch, match="newer"):
            await store.migrate()
    else:
        assert await store.migrate() == [f"schema version {schema.VERSION}"]
    await store.close()


async def test_a_missing_index_is_named_and_the_queue_goes_on(database: Any) -> None:
    async with handle(url_of(database)) as store:
        database["gradewatch_jobs"].drop_index("jobs_claim")
        database["gradewatch_audit"].drop_index("audit_spending")
        assert (await store.check([])).missing_indexes == ("audit_spending", "jobs_claim")
        hands = await Hands.open(store)
        [low, high] = await store.submit([new(), new(priority=5)])
        assert [job.id for job in await hands.claim()] == [high, low]
        assert await store.migrate() == ["index jobs_claim", "index audit_spending"]
        assert (await store.check([])).missing_indexes == ()


async def test_the_script_makes_the_same(database: Any) -> None:
    """What `gradewatch migrate --print` prints, run as mongosh would run it."""
    text = MongoStore(url_of(database)).migration_text()
    for name in re.findall(r'createCollection\("([^"]+)"\)', text):
        database.create_collection(name)
    for name, keys, options in re.findall(r'getCollection\("([^"]+)"\)\.createIndex\((\{.*?\}), (\{.*\})\);', text):
        database[name].create_index(list(json.loads(keys).items()), **json.loads(options))
    [version] = re.findall(r"version: NumberInt\((\d+)\)", text)
    database["gradewatch_meta"].insert_one({"_id": "schema", "version": int(version)})
    store = MongoStore(url_of(database))
    await store.open()
    assert await store.migrate() == [], "nothing is left to be done"
    await store.close()


async def test_no_question_reads_more_than_it_answers(database: Any) -> None:
    """Each of the hot questions walks an index of its own: with another the watch would not notice, but wait."""
    async with handle(url_of(database)) as store:
        hands = await Hands.open(store)
        await store.submit([new(priority=n % 3) for n in range(300)])
        database.command("profile", 2)
        await hands.claim(5)
        await store.stats("default")
        await store.beat(hands.session, loop_age=0, busy=0)
        database.command("profile", 0)
        read = list(database["system.profile"].find({"ns": {"$regex": "gradewatch_"}}))
        assert read
        for one in read:
            assert "COLLSCAN" not in one.get("planSummary", ""), one["command"]
            assert one.get("docsExamined", 0) <= 30, one["command"]
            assert one.get("keysExamined", 0) <= 60, one["command"]


def stages(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for inner in (*([plan["inputStage"]] if "inputStage" in plan else ()), *plan.get("inputStages", ())):
        yield from stages(inner)


@pytest.mark.parametrize(
    ("query", "order", "index"),
    [
        ({"state": "pending", "queue": "default", **schema.NO_SESSION}, [("run_at", 1)], "jobs_live"),
        ({"state": "running", "session_id": "s"}, [], "jobs_live"),
        ({"state": "pending", "queue": "default"}, [("priority", -1), ("_id", 1)], "jobs_claim"),
        ({"queue": {"$in": ["default"]}, "state": {"$in": ["failed"]}}, [("_id", -1)], "jobs_listing"),
    ],
)
async def test_what_is_asked_is_one_walk_of_one_index(
    database: Any, query: dict[str, Any], order: Any, index: str
) -> None:
    """In the order asked for: nothing is sorted, nothing is passed by."""
    store = MongoStore(url_of(database))
    await store.migrate()
    await store.submit([new() for _ in range(20)])
    await store.close()
    cursor = database["gradewatch_jobs"].find(query).limit(5)
    told = (cursor.sort(order) if order else cursor).explain()
    walked = [one["indexName"] for one in stages(told["queryPlanner"]["winningPlan"]) if one["stage"] == "IXSCAN"]
    assert walked == [index]
    assert not [one for one in stages(told["queryPlanner"]["winningPlan"]) if one["stage"] == "SORT"]
    assert told["executionStats"]["totalKeysExamined"] <= 6


async def test_indexes_of_an_earlier_schema_go_with_an_upgrade(database: Any) -> None:
    store = MongoStore(url_of(database))
    await store.migrate()
    database["gradewatch_jobs"].create_index([("state", 1), ("run_at", 1)], name="jobs_waiting")
    database["gradewatch_meta"].update_one({"_id": "schema"}, {"$set": {"version": 1}})
    assert await store.migrate() == ["index jobs_waiting dropped", f"schema version {schema.VERSION}"]
    assert "jobs_waiting" not in database["gradewatch_jobs"].index_information()
    await store.close()
