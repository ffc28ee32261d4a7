"""PgQueuer: `submit URL JOBS` enqueues no-op jobs; `work URL JOBS BATCH` runs them, so many a batch, and prints how
many seconds that took. On uvloop, as its own benchmark.

`install URL`, `one URL` and `hold URL` are for killing: one job that never ends, and a worker at its defaults that says
"ready", and "begun" with each job."""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import timedelta

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries


async def install(url: str) -> None:
    connection = await asyncpg.connect(url)
    queries = Queries(AsyncpgDriver(connection))
    if not await queries.has_table("pgqueuer"):
        await queries.install()
    await connection.close()


async def one(url: str) -> None:
    connection = await asyncpg.connect(url)
    await Queries(AsyncpgDriver(connection)).enqueue("held", None)
    await connection.close()


async def hold(url: str) -> None:
    queue = PgQueuer(AsyncpgDriver(await asyncpg.connect(url)))

    @queue.entrypoint("held")
    async def held(job: Job) -> None:
        print("begun", flush=True)
        await asyncio.Event().wait()

    print("ready", flush=True)
    await queue.run()


async def submit(url: str, jobs: int) -> None:
    await install(url)
    connection = await asyncpg.connect(url)
    queries = Queries(AsyncpgDriver(connection))
    for _ in range(jobs // 100):
        await queries.enqueue(["noop"] * 100, [None] * 100, [0] * 100)
    await connection.close()


async def work(url: str, jobs: int, batch: int) -> None:
    connection = await asyncpg.connect(url)
    queue = PgQueuer(AsyncpgDriver(connection))
    left = jobs

    @queue.entrypoint("noop")
    async def noop(job: Job) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            queue.shutdown.set()

    began = time.perf_counter()
    await queue.run(dequeue_timeout=timedelta(seconds=1), batch_size=batch)
    print(time.perf_counter() - began)
    await connection.close()


if __name__ == "__main__":
    what, where, *numbers = sys.argv[1:]
    commands = {"submit": submit, "work": work, "install": install, "one": one, "hold": hold}
    uvloop.run(commands[what](where, *map(int, numbers)))
