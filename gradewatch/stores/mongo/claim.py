"""Claiming jobs: who gets which of them, and in what order.

A batch is claimed in four steps, without a transaction, in which two claimers of one queue would break each other off:
read whose turn it is, along an index; put this claim's mark on those that are still pending, in one update, which the
server does document by document, so that each goes to exactly one claimer; read back what carries the mark; and where
others were faster with some, go on with the next.
"""

from __future__ import annotations

import asyncio
import heapq
import random
import uuid
from collections.abc import Collection, Sequence
from typing import Any

from pymongo.errors import OperationFailure

from gradewatch.errors import Conflict, NotFound
from gradewatch.model import Job
from gradewatch.stores.mongo import encode, rows
from gradewatch.stores.mongo.database import PREFIX, Database
from gradewatch.stores.mongo.either import listed
from gradewatch.stores.mongo.encode import Document
from gradewatch.stores.mongo.faults import NO_SUCH_HINT
from gradewatch.stores.mongo.tallies import Changes

ROUNDS = 8  # lost to others in part, after which a claimer makes do with what it has
STAGGER = 0.004  # seconds


async def claim(
    data: Database, session_id: str, queues: Sequence[str], kinds: Collection[str], limit: int
) -> list[Job]:
    facts = await _session(data, session_id)
    held = [one["run_alone"] for one in facts["held"]]
    wanted = _Wanted(encode.texts(dict.fromkeys(queues)), encode.texts(kinds), facts)
    got: list[Document] = []
    rounds = 0
    while len(got) < encode.page(limit) and not any(held):
        first = await _first(data, wanted, encode.page(limit) - len(got))
        chosen = _alone(first, held)
        mine = await _mark(data, wanted, chosen, session_id) if chosen else []
        got += mine
        held += [row["run_alone"] for row in mine]
        rounds += 1
        if len(mine) == len(chosen) or (got and rounds >= ROUNDS):
            break
        await asyncio.sleep(random.uniform(0, STAGGER))  # or those who collided would go on in step
    if got:
        await _count(data, got)
    got.sort(key=_rank)
    return [rows.job(row) for row in got]


async def claim_job(data: Database, session_id: str, job_id: str) -> Job:
    """That very pending job, whatever its queue, kind or backoff."""
    facts = await _session(data, session_id)
    change = _running(session_id, int(facts["now"]), uuid.uuid4().hex)
    row = await data.quick("jobs").find_one_and_update(
        {"_id": encode.text(job_id), "state": "pending"}, change, return_document=True
    )
    if row is not None:
        await _count(data, [row])
        return rows.job(row)
    found = await data.jobs.find_one({"_id": encode.text(job_id)}, {"state": 1})
    if found is None:
        raise NotFound(f"There is no job {job_id}: check the id, or it was purged after its retention time.")
    raise Conflict(f"Job {job_id} is {found['state']}; only a pending job can be claimed. It is untouched.")


class _Wanted:
    """What is asked for, at which time of the store's clock."""

    def __init__(self, queues: list[str], kinds: list[str], facts: Document) -> None:
        self.queues, self.kinds, self.now = queues, kinds, int(facts["now"])
        high = max((one.get("high", 0) for one in facts["ticks"]), default=0)
        due: Document = {"run_at": {"$lte": self.now}}
        # A job changed in the future means that the clock was stepped back since: what waits for a time on the old
        # clock would wait for the length of the step.
        self.due = due if high <= self.now else {"$or": [due, {"updated_at": {"$gt": self.now}}]}


async def _session(data: Database, session_id: str) -> Document:
    """The store's time, what the session holds, and how far the clock ever was. Raises Conflict where it has ended."""
    name = encode.text(session_id)
    held = [{"$match": {"state": "running", "session_id": name}}, {"$project": {"_id": 0, "run_alone": 1}}]
    ticks = [{"$match": {"_id": "ticks"}}, {"$project": {"high": 1}}]
    found = await listed(
        data.sessions.aggregate(
            [
                {"$match": {"_id": name, "ended_at": None}},
                {"$project": {"now": data.moment}},
                {"$lookup": {"from": f"{PREFIX}jobs", "pipeline": held, "as": "held"}},
                {"$lookup": {"from": f"{PREFIX}meta", "pipeline": ticks, "as": "ticks"}},
            ]
        )
    )
    if not found:
        raise Conflict(f"Session {session_id} has ended or never began: it may claim nothing. Open a new one.")
    facts: Document = found[0]
    return facts


async def _first(data: Database, wanted: _Wanted, limit: int) -> list[Document]:
    """Those whose turn it is. One ordered walk per queue, merged: a single query over several would sort all that is
    pending."""
    walks = [await _walk(data, wanted, queue, limit) for queue in wanted.queues] if wanted.kinds else []
    return list(heapq.merge(*walks, key=_rank))[:limit]


async def _walk(data: Database, wanted: _Wanted, queue: str, limit: int) -> list[Document]:
    query = {"state": "pending", "queue": queue, "kind": {"$in": wanted.kinds}, **wanted.due}

    def cursor() -> Any:
        found = data.jobs.find(query, {"priority": 1, "run_alone": 1}, batch_size=limit + 1)
        return found.sort([("priority", -1), ("_id", 1)]).limit(limit)

    try:
        return await listed(cursor().hint("jobs_claim"))
    except OperationFailure as error:
        if NO_SUCH_HINT not in str(error):
            raise
    # Without its index the queue goes on, slowly; the watch says that the index is missing.
    return await listed(cursor())


def _rank(row: Document) -> tuple[int, str]:
    return -row["priority"], row["_id"]


def _alone(first: Sequence[Document], held: Sequence[Any]) -> list[Document]:
    """Of the jobs whose turn it is, those this session may have, by the rule of run-alone (ports.JobWriter.claim)."""
    before_suspect: list[Document] = []
    for row in first:
        if row["run_alone"]:
            return before_suspect or ([] if held else [row])
        before_suspect.append(row)
    return before_suspect


async def _mark(data: Database, wanted: _Wanted, chosen: Sequence[Document], session_id: str) -> list[Document]:
    """Take what is still there to be taken; returns it as it is now."""
    mark = uuid.uuid4().hex
    ids = [row["_id"] for row in chosen]
    await data.quick("jobs").update_many(
        {"_id": {"$in": ids}, "state": "pending", "run_alone": chosen[0]["run_alone"], **wanted.due},
        _running(session_id, wanted.now, mark),
    )
    return await listed(data.jobs.find({"_id": {"$in": ids}, "write": mark}, batch_size=len(ids) + 1))


def _running(session_id: str, now: int, mark: str) -> Document:
    put = {"state": "running", "session_id": encode.text(session_id), "started_at": now, "updated_at": now}
    return {"$set": {**put, "waited": 0, "write": mark}, "$inc": {"attempt": 1, "token": 1}}


async def _count(data: Database, got: Sequence[Document]) -> None:
    """Acknowledged by the majority, and with it all that was marked before: a claim that a failover could take back is
    never handed out."""
    changes = Changes()
    for row in got:
        changes.claimed(row["queue"], row["started_at"] - row["run_at"], row["started_at"])
    await changes.write(data, None)
