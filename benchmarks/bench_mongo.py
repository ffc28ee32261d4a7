"""MongoDB, a replica set of one with its journal: no-op jobs in batches against the same one by one through the same
driver, the queue probe over 3,000,000 documents against the same over 1,000, 100,000 timed-out jobs expired by the real
watch, and the time from a submission to its start.

The documents of the probe are written in bulk, and the tallies with them.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil
from pymongo import AsyncMongoClient, WriteConcern

from benchmarks.bench_expire import SETTINGS
from benchmarks.figures import Entry, at_least, at_most, percentile, worth_knowing
from benchmarks.mongo_server import Server, new_server
from benchmarks.world import ROOT, processor_seconds, world
from gradewatch.app.stores import opener
from gradewatch.config import QueueSettings, Settings, StoreSettings, WorkerSettings
from gradewatch.config.settings import Timeouts
from gradewatch.model import NewJob, NewSession
from gradewatch.probes.queue import QueueProbe
from gradewatch.stores.mongo import MongoStore
from gradewatch.worker.context import JobContext
from gradewatch.worker.runtime import Worker

JOBS, ONE_BY_ONE, ROUNDS, RATE_BAR = 10_000, 1500, 3, 5.0
BAR, READS, LATE = 1.5, 40, 20
EXPIRED, BATCH, LEAD, SECONDS_BAR = 100_000, 1000, 5.0, 15.0
HOUR = 3_600_000_000  # microseconds
STARTS, START_BAR = 40, 100.0  # milliseconds


@dataclass(frozen=True, slots=True)
class Size:
    database: str
    documents: int
    pending: int


SMALL, LARGE = Size("small", 1000, 200), Size("large", 3_000_000, 200_000)


async def run() -> list[Entry]:
    server = await asyncio.to_thread(new_server, cache="2")
    try:
        # The probe last: what its millions of documents leave the server to do would fall upon the others.
        return [*await _rates(server), *await _starts(server), *await _expire(server), *await _probe(server)]
    finally:
        await asyncio.to_thread(server.remove)


async def _made(server: Server, database: str, **options: Any) -> MongoStore:
    store = MongoStore(server.url(database), timeout=30.0, **options)
    await store.migrate()
    await store.open()
    return store


# ---------------------------------------------------------------- no-op jobs


async def _rates(server: Server) -> list[Entry]:
    store, ours, theirs = await _made(server, "jobs"), [], []
    for _ in range(ROUNDS):  # in turn, so that a disturbance of the machine meets both
        for _ in range(JOBS // 100):
            await store.submit([NewJob("noop", {})] * 100)
        argv = [sys.executable, "-m", "benchmarks.noop_worker", server.url("jobs"), str(JOBS), "warning"]
        worker = await asyncio.create_subprocess_exec(*argv, cwd=ROOT, stdout=subprocess.PIPE)
        seconds, _ = await worker.communicate()
        ours.append(JOBS / float(seconds))
        theirs.append(await _one_by_one(server))
    await store.close()
    fast, slow = percentile(ours, 50), percentile(theirs, 50)
    words = f"{fast:,.0f} jobs/s; one by one {slow:,.0f} jobs/s"
    return [
        worth_knowing("MongoDB: no-op jobs by one worker process", fast, "jobs/s"),
        at_least("MongoDB: no-op jobs in batches to one by one", fast / slow, "×", RATE_BAR, words),
    ]


async def _one_by_one(server: Server) -> float:
    """Jobs a second of the usual way: find_one_and_update takes the next job, update_one finishes it."""
    async with AsyncMongoClient[dict[str, Any]](server.url("plain")) as client:
        jobs = client["plain"].get_collection("jobs", write_concern=WriteConcern("majority"))
        await jobs.delete_many({})
        await jobs.create_index([("state", 1), ("priority", -1), ("_id", 1)])
        await jobs.insert_many([{"_id": n, "state": "pending", "priority": 0, "token": 0} for n in range(ONE_BY_ONE)])
        began = time.perf_counter()
        claim = {"$set": {"state": "running"}, "$inc": {"token": 1}}
        order = [("priority", -1), ("_id", 1)]
        while job := await jobs.find_one_and_update({"state": "pending"}, claim, sort=order, return_document=True):
            held = {"_id": job["_id"], "state": "running", "token": job["token"]}
            await jobs.update_one(held, {"$set": {"state": "succeeded", "result": "{}"}})
        return ONE_BY_ONE / (time.perf_counter() - began)


# ---------------------------------------------------------------- from submit to start


async def _starts(server: Server) -> list[Entry]:
    store = await _made(server, "starts")
    started: asyncio.Queue[float] = asyncio.Queue()

    async def noop(context: JobContext) -> dict[str, Any]:
        started.put_nowait(time.perf_counter())
        return {}

    open_store = opener(Settings(store=StoreSettings(url=server.url("starts"))))
    own = await open_store()
    worker = Worker(
        own,
        open_store,
        name="starts",
        queues=["default"],
        handlers={"noop": noop},
        settings=WorkerSettings(slots=2, poll=30.0),  # so that only a wake-up can be quick
        heartbeat_timeout=15.0,
        version="bench",
    )
    running = asyncio.create_task(worker.run())
    took = []
    for _ in range(STARTS):
        await asyncio.sleep(0.25)  # for the worker to be idle again
        began = time.perf_counter()
        await store.submit([NewJob("noop", {})])
        took.append((await asyncio.wait_for(started.get(), 60) - began) * 1000)
    worker.request_drain()
    await running
    await own.close()
    await store.close()
    words = f"{STARTS} taken, p95 {percentile(took, 95):.0f} ms, largest {max(took):.0f} ms"
    return [at_most("MongoDB: from submit to start, median", percentile(took, 50), "ms", START_BAR, words)]


# ---------------------------------------------------------------- the queue probe


async def _probe(server: Server) -> list[Entry]:
    stores = []
    for size in (SMALL, LARGE):
        await asyncio.to_thread(_fill, server, size)
        stores.append(await _made(server, size.database))
    hours = timedelta(hours=2).total_seconds()  # making them takes its time: what is not late stays so
    probe = QueueProbe(QueueSettings(timeouts=Timeouts(schedule_to_start=hours, start_to_close=hours)))
    took: list[list[float]] = [[], []]
    for _ in range(READS):  # in turn, as above
        for store, size, into in zip(stores, (SMALL, LARGE), took, strict=True):
            began = time.perf_counter()
            facts = await probe.read(store, frozenset(), time.monotonic())
            into.append((time.perf_counter() - began) * 1000)
            found = (len(facts.overdue_pending), len(facts.overdue_running), len(facts.held_by_absent))
            depth = (facts.stats.pending, facts.stats.running, facts.stats.depth_exact)
            if found != (LATE, LATE, LATE) or depth != (size.pending, LATE, True):
                raise RuntimeError(f"the probe found {found} late jobs, not {LATE} of each, and a depth of {depth}")
    for store in stores:
        await store.close()
    small, large = (percentile(some[5:], 50) for some in took)
    words = f"{SMALL.documents:,} documents: {small:.2f} ms, {LARGE.documents:,} documents: {large:.2f} ms"
    return [at_most("MongoDB: queue probe, 3,000,000 documents to 1,000", large / small, "×", BAR, words)]


def _fill(server: Server, size: Size) -> None:
    """Made by the server itself, of a seed for each thousand, before there is any index to be kept: the last ones wait,
    those before them run, the rest are finished."""
    left = {"$subtract": [size.documents, "$n"]}
    with server.client(timeoutMS=None, w=1) as client:
        there = client[size.database]
        there["seeds"].insert_many([{"_id": n * 1000} for n in range(size.documents // 1000)])
        there["seeds"].aggregate(
            [
                {"$project": {"n": {"$range": ["$_id", {"$add": ["$_id", 1000]}]}}},
                {"$unwind": "$n"},
                {"$project": {"_id": {"$toString": {"$add": [10**18, "$n"]}}, "left": left}},
                {"$set": {"state": _state(size)}},
                {"$set": {"late": {"$or": [{"$eq": ["$state", "running"]}, _last(size.pending - LATE, size.pending)]}}},
                {"$set": {"at": {"$subtract": [time.time_ns() // 1000, {"$cond": ["$late", 4 * HOUR, 60_000_000]}]}}},
                {"$project": _FIELDS},
                {"$out": "gradewatch_jobs"},
            ]
        )
        live = {"live": size.pending + LATE, "enqueued": size.documents}
        there["gradewatch_tallies"].insert_one({"_id": "default", "n": live, "at": {}, "changes": 0})


def _last(above: int, to: int) -> dict[str, Any]:
    return {"$and": [{"$gt": ["$left", above]}, {"$lte": ["$left", to]}]}


def _state(size: Size) -> dict[str, Any]:
    running = {"case": _last(size.pending, size.pending + LATE), "then": "running"}
    pending = {"case": _last(0, size.pending), "then": "pending"}
    return {"$switch": {"branches": [pending, running], "default": "succeeded"}}


def _where(state: str, value: Any) -> dict[str, Any]:
    return {"$cond": [{"$eq": ["$state", state]}, value, None]}


_PAYLOAD = '{"papers": [{"name": "01.pdf", "sha256": "0123456789abcdef", "size": 2048}]}'
_PLAIN = {"priority": 0, "attempt": 1, "max_attempts": 3, "lost": 0, "token": 1, "waited": 0, "run_alone": False}
_FIELDS: dict[str, Any] = {
    "state": 1,
    **dict.fromkeys(("run_at", "created_at", "updated_at"), "$at"),
    "started_at": {"$cond": [{"$eq": ["$state", "pending"]}, None, "$at"]},
    "finished_at": _where("succeeded", "$at"),
    "session_id": _where("running", "gone"),
    **{name: {"$literal": value} for name, value in _PLAIN.items()},
    **{name: {"$literal": None} for name in ("result", "error_code", "error_message")},
    **{name: {"$literal": 0} for name in ("progress_done", "progress_total")},
    **{name: {"$literal": word} for name, word in {"queue": "default", "kind": "grade", "write": "fill"}.items()},
    "status_message": {"$literal": ""},
    "payload": {"$literal": _PAYLOAD},
}


# ---------------------------------------------------------------- expiring


async def _expire(server: Server) -> list[Entry]:
    """As bench_expire does it for SQLite: all time out at one instant under the real `gradewatch watch`."""
    submitted = datetime.now(UTC)
    micros = round(submitted.timestamp() * 1_000_000)
    store = await _made(server, "expire", clock=lambda: micros)
    for _ in range(EXPIRED // BATCH):
        await store.submit([NewJob("grade", {})] * BATCH)
    await store.close()
    store = await _made(server, "expire")
    await store.open_session(NewSession("worker", ("default",), 1, "host", 1, "bench"))
    patience = datetime.now(UTC) - submitted + timedelta(seconds=LEAD)
    async with world() as made:
        settings = SETTINGS.format(milliseconds=round(patience.total_seconds() * 1000))
        made.configure(f'[store]\nurl = "{server.url("expire")}"\n{settings}')
        async with made.running("watch") as process:

            async def all_failed() -> datetime | None:
                stats = await store.stats("default")
                return stats.now if stats.finished_total["failed"] == EXPIRED else None

            done = await made.until(all_failed, "all jobs are expired", look=0.25, seconds=120)
            watch = processor_seconds(psutil.Process(process.pid))
    await store.close()
    seconds = (done - submitted - patience).total_seconds()
    words = f"{watch:.1f} s of processor time in the watch"
    return [at_most(f"MongoDB: expiring {EXPIRED:,} timed-out jobs", seconds, "s", SECONDS_BAR, words)]
