"""Procrastinate: `submit URL JOBS` defers no-op jobs; `work URL JOBS` runs them and prints how many seconds that took.
It takes jobs one by one; as many may be under way as with ours. `hold URL FILE` begins one, notes its process id in
FILE, and never ends it."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

from procrastinate import App, PsycopgConnector

SLOTS = 256


def make_app(url: str) -> App:
    return App(connector=PsycopgConnector(conninfo=url))


async def submit(url: str, jobs: int) -> None:
    app = make_app(url)
    app.task(name="noop")(noop)
    async with app.open_async():
        if not await app.check_connection_async():
            await app.schema_manager.apply_schema_async()
        size = min(jobs, 100)
        for _ in range(jobs // size):
            await app.configure_task("noop").batch_defer_async(*({} for _ in range(size)))


async def noop() -> None:
    pass


async def work(url: str, jobs: int) -> None:
    app = make_app(url)
    left, over = jobs, asyncio.Event()

    @app.task(name="noop")
    async def counted() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            over.set()

    async with app.open_async():
        began = time.perf_counter()
        worker = asyncio.create_task(app.run_worker_async(concurrency=SLOTS, install_signal_handlers=False))
        await over.wait()
        worker.cancel()
        await asyncio.wait([worker])
        print(time.perf_counter() - began)


async def hold(url: str, file: Path) -> None:
    app = make_app(url)

    @app.task(name="noop")
    async def held() -> None:
        with file.open("a") as noted:
            noted.write(f"{os.getpid()}\n")
        await asyncio.Event().wait()

    async with app.open_async():
        await app.run_worker_async()


if __name__ == "__main__":
    what, where, last = sys.argv[1:]
    if what == "hold":
        asyncio.run(hold(where, Path(last)))
    else:
        asyncio.run({"submit": submit, "work": work}[what](where, int(last)))
