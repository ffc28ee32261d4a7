"""Depths, totals and histograms, so that nobody ever has to count documents.

Where there are transactions, each change adds one small document to `deltas` in the transaction of the change itself,
which nobody waits for; probes and beats fold these into `tallies`. What is read is always the sum of both, in one
snapshot, and therefore exact. On a standalone server each change goes to its queue's tally at once.

Names: live (jobs not finished); enqueued, retries, succeeded, failed, cancelled (totals); wait:BUCKET, run:STATE:BUCKET
(histograms; the bucket `sum` is in microseconds); paper:STATUS (totals). Times: running, worked.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import structlog
from pymongo import UpdateOne
from pymongo.errors import PyMongoError

from gradewatch.model import RUN_BOUNDS, WAIT_BOUNDS
from gradewatch.stores.mongo.database import QUICK, Database
from gradewatch.stores.mongo.either import listed
from gradewatch.stores.mongo.encode import Document

log = structlog.get_logger(__name__)

FOLD = 1000  # deltas folded at once: some 20 ms
FOLD_FROM = 20  # deltas from which on a probe folds: fewer are as quickly read as folded
_WAITS = [round(bound * 1e6) for bound in WAIT_BOUNDS]
_RUNS = [round(bound * 1e6) for bound in RUN_BOUNDS]
_LIVE = ("pending", "running")
# A name becomes part of a path in an update, where these have a meaning.
_ESCAPES = {"%": "%25", ".": "%2E", "$": "%24", "\x00": "%00"}


class Changes:
    """What one write changed, by queue, to be written with it."""

    def __init__(self) -> None:
        self._counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._times: defaultdict[str, dict[str, int]] = defaultdict(dict)
        self._woken: set[str] = set()

    def enqueued(self, queue: str) -> None:
        self._counts[queue].update(live=1, enqueued=1)
        self._woken.add(queue)

    def claimed(self, queue: str, waited: int, now: int) -> None:
        self._observe(queue, "wait", _WAITS, waited)
        self._times[queue]["running"] = now

    def moved(self, row: Mapping[str, Any], became: str, now: int) -> None:
        """A job, as it was before, came into another state."""
        queue, was = row["queue"], row["state"]
        self._counts[queue]["live"] += (became in _LIVE) - (was in _LIVE)
        if became == "pending":
            self._woken.add(queue)
        else:
            self._counts[queue][became] += 1
        if was == "running" and became != "pending":
            self._observe(queue, f"run:{became}", _RUNS, now - row["started_at"])

    def woken(self, queue: str) -> None:
        """Something there may be claimed that could not be before."""
        self._woken.add(queue)

    def retried(self, queue: str) -> None:
        self._counts[queue]["retries"] += 1

    def worked(self, queue: str, now: int) -> None:
        """Only a worker's own finish shows that work gets done; what a repair fails must not look like it."""
        self._times[queue]["worked"] = now

    def graded(self, queue: str, status: str) -> None:
        self._counts[queue][f"paper:{status}"] += 1

    def corrected(self, queue: str, live: int) -> None:
        self._counts[queue]["live"] += live

    def _observe(self, queue: str, name: str, bounds: list[int], micros: int) -> None:
        micros = max(0, micros)
        self._counts[queue][f"{name}:{bisect_left(bounds, micros)}"] += 1
        self._counts[queue][f"{name}:sum"] += micros

    def documents(self) -> list[Document]:
        queues = {*self._counts, *self._times, *self._woken}
        return [
            {
                "queue": queue,
                "n": {_escaped(name): amount for name, amount in self._counts[queue].items() if amount},
                "at": self._times[queue],
                "wakes": queue in self._woken,
            }
            for queue in sorted(queues)
        ]

    async def write(self, data: Database, session: Any) -> None:
        documents = self.documents()
        if not documents:
            return
        if await data.replicated():
            await data.deltas.insert_many(documents, session=session)
        else:
            await data.tallies.bulk_write([_added([one]) for one in documents])


def _added(deltas: list[Document]) -> UpdateOne:
    """What adds deltas of one queue, in order, to its tally."""
    times = {f"at.{name}": at for delta in deltas for name, at in delta["at"].items()}
    amounts: Counter[str] = Counter({"changes": len(deltas)})
    for delta in deltas:
        for name, amount in delta["n"].items():
            amounts[f"n.{name}"] += amount
    update: Document = {"$inc": dict(amounts)} | ({"$set": times} if times else {})
    return UpdateOne({"_id": deltas[0]["queue"]}, update, upsert=True)


async def fold(data: Database, queue: str) -> bool:
    """Fold up to FOLD deltas of a queue. False where that cannot be done now: whoever comes while another folds, and
    whoever may only read, goes on without."""

    async def work(session: Any) -> bool:
        found = await listed(data.deltas.find({"queue": queue}, session=session).sort("_id", 1).limit(FOLD))
        if found:
            await data.tallies.bulk_write([_added(found)], session=session)
            await data.deltas.delete_many({"_id": {"$in": [one["_id"] for one in found]}}, session=session)
        return bool(found)

    try:
        return await data.transact(work, again=False, concern=QUICK)
    except PyMongoError as error:
        log.debug("deltas left for another time", store=data.address.shown, reason=type(error).__name__)
        return False


async def fold_some(data: Database) -> None:
    """Fold where there is most likely something to fold: so that deltas do not pile up while nobody probes."""
    if await data.replicated():
        oldest = await data.deltas.find_one({}, {"queue": 1}, sort=[("_id", 1)])
        if oldest is not None:
            await fold(data, oldest["queue"])


def summed(tally: Mapping[str, Any] | None, deltas: Iterable[Mapping[str, Any]]) -> tuple[Counter[str], dict[str, int]]:
    """(amounts, times) of a tally and the deltas that are not in it yet."""
    amounts: Counter[str] = Counter()
    times: dict[str, int] = {}
    for one in (*([tally] if tally else ()), *deltas):
        for name, amount in one.get("n", {}).items():
            amounts[_unescaped(name)] += amount
        times |= one.get("at", {})
    return amounts, times


async def changed(data: Database) -> int:
    """A number that differs once somebody has changed a job: for those who cannot listen."""
    folded = await listed(data.tallies.find({}, {"changes": 1}))
    waiting: int = await data.deltas.estimated_document_count()
    return waiting + sum(int(one.get("changes", 0)) for one in folded)


def _escaped(name: str) -> str:
    return "".join(_ESCAPES.get(letter, letter) for letter in name)


def _unescaped(name: str) -> str:
    for letter, escape in reversed(_ESCAPES.items()):
        name = name.replace(escape, letter)
    return name
