"""PgQueuer: `submit URL JOBS` enqueues no-op jobs; `work URL JOBS BATCH` runs them, so many a batch, and prints how
many seconds that took. `hold URL FILE` begins one, notes its process id in FILE, and never ends it. On uvloop, as its
own benchmark."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from datetime import timedelta
from pathlib import Path

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries


async def submit(url: str, jobs: int) -> None:
    connection = await asyncpg.connect(url)
    queries = Queries(AsyncpgDriver(connection))
    if not await queries.has_table("pgqueuer"):
        await queries.install()
    size = min(jobs, 100)
    for _ in range(jobs // size):
        await queries.enqueue(["noop"] * size, [None] * size, [0] * size)
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


async def hold(url: str, file: Path) -> None:
    queue = PgQueuer(AsyncpgDriver(await asyncpg.connect(url)))

    @queue.entrypoint("noop")
    async def held(job: Job) -> None:
        with file.open("a") as noted:
            noted.write(f"{os.getpid()}\n")
        await asyncio.Event().wait()

    await queue.run()


if __name__ == "__main__":
    what, where, *rest = sys.argv[1:]
    if what == "hold":
        uvloop.run(hold(where, Path(rest[0])))
    else:
        uvloop.run({"submit": submit, "work": work}[what](where, *map(int, rest)))
