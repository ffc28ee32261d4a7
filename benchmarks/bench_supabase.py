"""Supabase: no-op jobs by one worker process over a real PostgREST 12 and a durable PostgreSQL, and how many HTTP
requests that takes. The gateway before PostgREST is the tests' own, in Python: some half a millisecond a request.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter

from benchmarks.figures import Entry, at_least, percentile, worth_knowing
from benchmarks.postgres_server import new_project
from benchmarks.world import ROOT
from gradewatch.model import NewJob, NewSession
from gradewatch.stores.supabase import SupabaseStore

JOBS, ROUNDS, CALLS = 5_000, 3, 100
BAR = 500.0  # jobs a second
RPC = "/rest/v1/rpc/gradewatch_"


async def run() -> list[Entry]:
    project = await asyncio.to_thread(new_project, durable=True)
    store = SupabaseStore(project.url, project.key, timeout=30.0)
    try:
        rates, asked, fruitless = [], Counter[str](), 0
        for _ in range(ROUNDS):
            await store.submit([NewJob("noop", {})] * JOBS)
            project.gateway.counted.clear()
            project.gateway.fruitless.clear()
            rates.append(JOBS / await _work(project.url, project.key))
            asked += project.gateway.counted
            fruitless += project.gateway.fruitless[f"{RPC}claim"]
        batches = _number(project.sql("SELECT count(DISTINCT (session_id, started_at)) FROM gradewatch.jobs"))
        session = await store.open_session(NewSession("worker", ("default",), 4, "host", 1, "bench"))
        took = []
        for _ in range(CALLS):
            began = time.perf_counter()
            await store.beat(session, loop_age=0.0, busy=0)
            took.append((time.perf_counter() - began) * 1000)
    finally:
        await store.close()
        await asyncio.to_thread(project.remove)
        await asyncio.to_thread(project.server.remove)
    claims, every = asked[f"{RPC}claim"] - fruitless, sum(asked.values())
    told = (
        f"{claims} requests for {batches} batches, and {fruitless} that found nothing; "
        f"{every} requests of every kind for {JOBS * ROUNDS:,} jobs"
    )
    return [
        at_least("Supabase: no-op jobs by one worker process", percentile(rates, 50), "jobs/s", BAR),
        at_least("Supabase: batches claimed by an HTTP request", batches / claims, "batches", 1.0, told),
        worth_knowing("Supabase: a beat, median", percentile(took, 50), "ms"),
    ]


async def _work(url: str, key: str) -> float:
    """How many seconds a worker took for all of the jobs."""
    argv = [sys.executable, "-m", "benchmarks.noop_worker", url, str(JOBS), "warning"]
    environ = os.environ | {"SUPABASE_SERVICE_ROLE_KEY": key}
    worker = await asyncio.create_subprocess_exec(*argv, cwd=ROOT, env=environ, stdout=subprocess.PIPE)
    seconds, _ = await worker.communicate()
    return float(seconds)


def _number(rows: list[tuple[object, ...]]) -> int:
    return int(str(rows[0][0]))
