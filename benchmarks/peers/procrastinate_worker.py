"""Procrastinate: `submit URL JOBS` defers no-op jobs; `work URL JOBS` runs them and prints how many seconds that took.
It takes jobs one by one; as many may be under way as with ours.

`install URL`, `one URL` and `hold URL` are for killing: one job that never ends, and a worker at its defaults that says
"ready", and "begun" with each job."""

from __future__ import annotations

import asyncio
import sys
import time

from procrastinate import App, PsycopgConnector

SLOTS = 256


def make_app(url: str) -> App:
    return App(connector=PsycopgConnector(conninfo=url))


async def install(url: str) -> None:
    app = make_app(url)
    async with app.open_async():
        if not await app.check_connection_async():
            await app.schema_manager.apply_schema_async()


async def one(url: str) -> None:
    app = make_app(url)
    async with app.open_async():
        await app.configure_task("held").defer_async()


async def hold(url: str) -> None:
    app = make_app(url)

    @app.task(name="held")
    async def held() -> None:
        print("begun", flush=True)
        await asyncio.Event().wait()

    async with app.open_async():
        print("ready", flush=True)
        await app.run_worker_async()


async def submit(url: str, jobs: int) -> None:
    await install(url)
    app = make_app(url)
    app.task(name="noop")(noop)
    async with app.open_async():
        for _ in range(jobs // 100):
            await app.configure_task("noop").batch_defer_async(*({} for _ in range(100)))


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


if __name__ == "__main__":
    commands = {"submit": submit, "work": work, "install": install, "one": one, "hold": hold}
    asyncio.run(commands[sys.argv[1]](sys.argv[2], *map(int, sys.argv[3:])))
