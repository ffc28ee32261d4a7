"""What workers remember of providers: pages already read, what was spent, what troubles were met."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC

from pymongo import UpdateOne
from pymongo.errors import DuplicateKeyError

from gradewatch.model import Allowance, CredentialFacts, PageText
from gradewatch.stores.mongo import encode, rows
from gradewatch.stores.mongo.database import Database
from gradewatch.stores.mongo.either import listed


async def pages(data: Database, keys: Sequence[str]) -> dict[str, PageText]:
    if not keys:
        return {}
    found = await listed(data.pages.find({"_id": {"$in": encode.texts(keys)}}))
    return {row["_id"]: PageText(row["text"], row["confidence"]) for row in found}


async def keep_page(data: Database, key: str, page: PageText) -> None:
    kept = {"text": encode.text(page.text), "confidence": float(page.confidence), "at": await data.now()}
    await data.pages.update_one({"_id": encode.text(key)}, {"$set": kept}, upsert=True)


async def reserve(data: Database, job_id: str, tokens: int, per_job: Allowance, per_day: Allowance) -> str:
    """One guarded write for the job, and one for the day; where the day refuses, the job's is taken back. A crash in
    between leaves too much counted, never too little."""
    now = await data.now()
    of_job, of_day = _scopes(job_id, now)
    if not await _take(data, of_job, tokens, per_job, now):
        return "job"
    if await _take(data, of_day, tokens, per_day, now):
        return ""
    await data.spending.update_one({"_id": of_job}, {"$inc": {"calls": -1, "tokens": -tokens}})
    return "day"


def _scopes(job_id: str, now: int) -> tuple[str, str]:
    return f"job:{encode.text(job_id)}", f"day:{rows.when(now).astimezone(UTC):%Y-%m-%d}"


async def _take(data: Database, scope: str, tokens: int, allowed: Allowance, now: int) -> bool:
    if allowed.calls < 1 or tokens > allowed.tokens:
        return False
    within = {"_id": scope, "calls": {"$lte": allowed.calls - 1}, "tokens": {"$lte": allowed.tokens - tokens}}
    update = {"$inc": {"calls": 1, "tokens": tokens}, "$set": {"at": now}}
    for upsert in (True, False):
        try:
            done = await data.spending.update_one(within, update, upsert=upsert)
            return bool(done.matched_count or done.upserted_id)
        except DuplicateKeyError:  # it is there: spent, or begun by another at this moment
            continue
    return False


async def settle(data: Database, job_id: str, tokens: int) -> None:
    now = await data.now()
    corrected = {
        "calls": {"$ifNull": ["$calls", 0]},
        "tokens": {"$max": [0, {"$add": [{"$ifNull": ["$tokens", 0]}, tokens]}]},
        "at": now,
    }
    scopes = _scopes(job_id, now)
    await data.spending.bulk_write([UpdateOne({"_id": one}, [{"$set": corrected}], upsert=True) for one in scopes])


async def tell_trouble(data: Database, fact: CredentialFacts, lasts: float) -> None:
    until = await data.now() + encode.micros(lasts)
    told = {"variable": fact.variable, "message": encode.said(fact.message), "fix": encode.said(fact.fix)}
    code = fact.problem.value if fact.problem else ""
    kept = {**told, "code": code, "until": until}
    await data.troubles.update_one({"_id": encode.text(fact.provider)}, {"$set": kept}, upsert=True)


async def clear_trouble(data: Database, provider: str) -> None:
    await data.troubles.delete_one({"_id": encode.text(provider)})


async def troubles(data: Database) -> list[CredentialFacts]:
    found = await listed(data.troubles.find({"until": {"$gt": await data.now()}}).sort("_id", 1))
    return [rows.trouble(row) for row in found]
