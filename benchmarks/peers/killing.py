"""kill -9 of a worker until its job runs on another one: ours and the peers', all at their defaults and side by side.

Two workers of each over a database of its own, several times over. Whichever takes the one job is killed once it says
that the job has begun; the time runs until the other says so. Nobody supervises them. Ours has `gradewatch watch`
beside it, as it is meant to be run.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from benchmarks.figures import Entry, at_most, worth_knowing
from benchmarks.postgres_server import Server
from benchmarks.world import ROOT
from gradewatch.config import Timeouts
from gradewatch.model import NewJob
from gradewatch.stores.postgres import PostgresStore

KILLS = 3
LIMIT = 90.0  # seconds after which a job counts as not taken over
DEADLINE = 60.0  # seconds for what must happen before the kill
BAR = Timeouts().heartbeat + 3.0  # seconds, as over SQLite
HERE = Path(__file__).parent
PEERS = ("pgqueuer", "procrastinate")
NAME = "kill -9 of a worker until its job runs again on PostgreSQL"


async def run(server: Server, python: str) -> list[Entry]:
    """`python` is the interpreter that has the peers."""
    kills = [_ours(server, n) for n in range(KILLS)]
    for name in PEERS:
        kills += [_peer(server, python, name, n) for n in range(KILLS)]
    took = await asyncio.gather(*kills)
    ours, *others = (took[start : start + KILLS] for start in range(0, len(took), KILLS))
    entries = [at_most(f"{NAME}, ours, worst", max(ours), "s", BAR, _words(ours))]
    for name, some in zip(PEERS, others, strict=True):
        entries.append(worth_knowing(f"{NAME}, {name}, worst", max(some), "s", _words(some)))
    return entries


def _words(took: Sequence[float]) -> str:
    return ", ".join(f"not within {LIMIT:g} s" if seconds >= LIMIT else f"{seconds:.1f} s" for seconds in sorted(took))


async def _ours(server: Server, n: int) -> float:
    name = f"killed_gradewatch_{n}"
    store = PostgresStore(url := _database(server, name))
    await store.migrate()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GRADEWATCH_")}
    environ |= {"GRADEWATCH_STORE__URL": url, "GRADEWATCH_HTTP__PORT": "0"}

    async def submit() -> None:
        await _until(lambda: _watched(store, server, name))
        await store.submit([NewJob("grade", {})])

    async with AsyncExitStack() as stack:
        stack.push_async_callback(store.close)
        await stack.enter_async_context(_process(sys.executable, "-m", "gradewatch", "watch", environ=environ))
        return await _kill([sys.executable, "-m", "benchmarks.peers.our_worker", url], submit)


async def _watched(store: PostgresStore, server: Server, database: str) -> bool:
    """Both workers beat, and the watch has the lease: silence counts from when it has seen them alive."""
    beating = [session for session in await store.sessions() if session.beats]
    leases = await asyncio.to_thread(server.sql, "SELECT name FROM gradewatch.leases", database)
    return len(beating) == 2 and len(leases) == 1


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not await condition():
            await asyncio.sleep(0.2)


async def _peer(server: Server, python: str, name: str, n: int) -> float:
    url, script = _database(server, f"killed_{name}_{n}"), str(HERE / f"{name}_worker.py")

    async def command(what: str) -> None:
        async with _process(python, script, what, url) as process:
            if await process.wait():
                raise RuntimeError(f"{name} could not {what}")

    await command("install")
    return await _kill([python, script, "hold", url], lambda: command("one"))


def _database(server: Server, name: str) -> str:
    server.sql(f"CREATE DATABASE {name}")
    url: str = server.url(name)
    return url


async def _kill(argv: Sequence[str], submit: Callable[[], Awaitable[None]]) -> float:
    """Seconds from the kill of the one that had the job until the other has it; LIMIT: not within it."""
    async with _process(*argv) as first, _process(*argv) as second:
        async with asyncio.timeout(DEADLINE):
            await asyncio.gather(_said(first, b"ready"), _said(second, b"ready"))
        await submit()
        begun = {asyncio.create_task(_said(one, b"begun")): one for one in (first, second)}
        done, waiting = await asyncio.wait(begun, timeout=DEADLINE, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            raise TimeoutError(f"no worker of {argv} began the job")
        begun[done.pop()].kill()
        killed = time.perf_counter()
        again, waiting = await asyncio.wait(waiting, timeout=LIMIT)
        for task in waiting:
            task.cancel()
        return time.perf_counter() - killed if again else LIMIT


async def _said(process: Process, word: bytes) -> None:
    assert process.stdout is not None
    while line := await process.stdout.readline():
        if line.strip() == word:
            return
    raise RuntimeError(f"a process ended before it said {word.decode()!r}")


@asynccontextmanager
async def _process(*argv: str, environ: dict[str, str] | None = None) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(*argv, cwd=ROOT, env=environ, stdout=PIPE, stderr=DEVNULL)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
