"""PostgreSQL, direct and durable: no-op jobs by one worker process, the queue probe over 5,000,000 rows against the
same over 1,000, and 100,000 timed-out jobs expired in guarded batches.

The rows of the probe are written by SQL in bulk; statistics are made and the table is vacuumed before it is measured.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

from benchmarks.figures import Entry, at_most, percentile, spread, worth_knowing
from benchmarks.noop_worker import SERVER_SLOTS
from benchmarks.postgres_server import Server, new_server
from benchmarks.world import ROOT
from gradewatch.config import QueueSettings
from gradewatch.model import Action, ActionKind, Code, JobState, NewJob, NewSession, Outcome
from gradewatch.probes.queue import QueueProbe
from gradewatch.stores.postgres import PostgresStore

JOBS, ROUNDS = 20_000, 3
BAR, READS, LATE = 1.5, 40, 20
EXPIRED, PAGE = 100_000, 2000
SECONDS_BAR, STATEMENT_BAR = 5.0, 200.0  # seconds, milliseconds
BEATS = 200


@dataclass(frozen=True, slots=True)
class Size:
    database: str
    rows: int
    pending: int


SMALL, LARGE = Size("small", 1000, 200), Size("large", 5_000_000, 200_000)

# Row n: the last ones wait, those before them run, the rest are finished.
_FILL = """
INSERT INTO gradewatch.jobs (id, queue, kind, state, max_attempts, token, session_id, created_at, run_at, started_at,
                             finished_at, updated_at, payload)
SELECT lpad(to_hex(n), 26, '0'), 'default', 'grade', state, 3, 1, CASE state WHEN 'running' THEN 'gone' END, at, at,
       CASE WHEN state <> 'pending' THEN at END, CASE WHEN state = 'succeeded' THEN at END, at,
       '{{"papers": [{{"name": "01.pdf", "sha256": "0123456789abcdef", "size": 2048}}]}}'
FROM generate_series(1, {rows}) AS n,
     LATERAL (SELECT CASE WHEN n > {rows} - {pending} THEN 'pending' WHEN n > {rows} - {pending} - {late} THEN 'running'
                          ELSE 'succeeded' END) AS s (state),
     LATERAL (SELECT now() - CASE WHEN state = 'running' OR (state = 'pending' AND n <= {rows} - {pending} + {late})
                                  THEN interval '1 hour' ELSE interval '1 minute' END) AS t (at)
"""


async def run() -> list[Entry]:
    server = await asyncio.to_thread(new_server, durable=True, settings={"max_wal_size": "4GB"})
    try:
        # The probe last: what its millions of rows leave the server to do would fall upon the others.
        return [*await _jobs(server), *await _expire(server), *await _probe(server)]
    finally:
        await asyncio.to_thread(server.remove)


async def _made(server: Server, database: str) -> PostgresStore:
    server.sql(f"CREATE DATABASE {database}")
    store = PostgresStore(server.url(database), timeout=30.0)
    await store.migrate()
    return store


async def _jobs(server: Server) -> list[Entry]:
    store = await _made(server, "jobs")
    rates = []
    for _ in range(ROUNDS):
        for _ in range(JOBS // 100):
            await store.submit([NewJob("noop", {})] * 100)
        argv = [
            sys.executable,
            "-m",
            "benchmarks.noop_worker",
            server.url("jobs"),
            str(JOBS),
            "warning",
            str(SERVER_SLOTS),
        ]
        worker = await asyncio.create_subprocess_exec(*argv, cwd=ROOT, stdout=subprocess.PIPE)
        seconds, _ = await worker.communicate()
        rates.append(JOBS / float(seconds))
    session = await store.open_session(NewSession("worker", ("default",), 4, "host", 1, "bench"))
    beats = await _took(BEATS, lambda: store.beat(session, loop_age=0.0, busy=0))
    tokens = await _took(BEATS, lambda: store._database.call("changes"))
    await store.close()
    return [
        worth_knowing("PostgreSQL: no-op jobs by one worker process", percentile(rates, 50), "jobs/s"),
        worth_knowing("PostgreSQL: a beat, median", percentile(beats, 50), "ms"),
        worth_knowing("PostgreSQL: the change token behind a pooler, median", percentile(tokens, 50), "ms"),
    ]


async def _took(times: int, call: Any) -> list[float]:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        await call()
        took.append((time.perf_counter() - began) * 1000)
    return took


async def _probe(server: Server) -> list[Entry]:
    stores = []
    for size in (SMALL, LARGE):
        stores.append(await _made(server, size.database))
        fill = _FILL.format(rows=size.rows, pending=size.pending, late=LATE)
        await asyncio.to_thread(server.sql, fill, size.database)
        await asyncio.to_thread(server.sql, "VACUUM ANALYZE gradewatch.jobs", size.database)
    probe = QueueProbe(QueueSettings())
    took: list[list[float]] = [[], []]
    for _ in range(READS):  # in turn, so that a disturbance of the machine meets both
        for store, into in zip(stores, took, strict=True):
            began = time.perf_counter()
            facts = await probe.read(store, frozenset(), time.monotonic())
            into.append((time.perf_counter() - began) * 1000)
            found = (len(facts.overdue_pending), len(facts.overdue_running), len(facts.held_by_absent))
            if found != (LATE, LATE, LATE) or not facts.stats.depth_exact:
                raise RuntimeError(f"the probe found {found} late jobs, not {LATE} of each")
    for store in stores:
        await store.close()
    small, large = (percentile(some[5:], 50) for some in took)
    words = f"{SMALL.rows:,} rows: {small:.2f} ms, {LARGE.rows:,} rows: {large:.2f} ms"
    return [at_most("PostgreSQL: queue probe, 5,000,000 rows to 1,000", large / small, "×", BAR, words)]


async def _expire(server: Server) -> list[Entry]:
    """As the watch does it: a page of overdue jobs, then their guarded repairs, until none is left."""
    store = await _made(server, "expire")
    for _ in range(EXPIRED // 1000):
        await store.submit([NewJob("grade", {})] * 1000)
    statements: list[float] = []
    call = store._caller.call

    async def timed(function: str, **arguments: Any) -> Any:
        began = time.perf_counter()
        answer = await call(function, **arguments)
        statements.append((time.perf_counter() - began) * 1000)
        return answer

    store._caller.call = timed  # type: ignore[method-assign]
    began, done = time.perf_counter(), 0
    while late := await store.overdue("default", JobState.PENDING, 0.0, kinds=["grade"], limit=PAGE):
        actions = [
            Action(ActionKind.EXPIRE, "default", Code.JOB_TIMED_OUT, "it waited too long", job=job) for job in late
        ]
        results = await store.repair(actions, sweep="bench", by="bench")
        done += sum(result.outcome is Outcome.APPLIED for result in results)
    seconds = time.perf_counter() - began
    stats = await store.stats("default")
    await store.close()
    if (done, stats.pending, stats.finished_total["failed"]) != (EXPIRED, 0, EXPIRED):
        raise RuntimeError(f"{done} of {EXPIRED} jobs were expired")
    return [
        at_most("PostgreSQL: expiring 100,000 timed-out jobs", seconds, "s", SECONDS_BAR),
        at_most(
            "PostgreSQL: expiring, longest statement", max(statements), "ms", STATEMENT_BAR, spread(statements, "ms")
        ),
    ]
