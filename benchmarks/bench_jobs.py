"""No-op jobs: submitted, then claimed, run and finished by one worker process. That process is benchmarks.noop_worker.

The time is the worker's own, from before its session is opened until its last finish is written. It logs as the real
worker does, two lines a job.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time

from benchmarks.figures import Entry, at_least, percentile, worth_knowing
from benchmarks.world import ROOT, World, world
from gradewatch.model import NewJob

JOBS, BATCH = 25_000, 100
ROUNDS = 3
ALONE = 300  # jobs submitted one by one
BAR = 5000.0  # jobs a second


async def run() -> list[Entry]:
    async with world() as made:
        submitted, info, quiet = [], [], []
        for _ in range(ROUNDS):
            submitted.append(await _submit(made))
            info.append(await _work(made, "info"))
        await _submit(made)
        quiet.append(await _work(made, "warning"))
        alone = await _submit_alone(made)
    rates = ", ".join(f"{rate:.0f}" for rate in info)
    return [
        at_least("no-op jobs by one worker process", percentile(info, 50), "jobs/s", BAR, f"rounds: {rates}"),
        worth_knowing("no-op jobs, with log.level = warning", quiet[0], "jobs/s"),
        worth_knowing("jobs submitted, 100 a call", percentile(submitted, 50), "jobs/s"),
        worth_knowing("jobs submitted, one by one", alone, "jobs/s"),
    ]


async def _submit(world: World) -> float:
    began = time.perf_counter()
    for _ in range(JOBS // BATCH):
        await world.store.submit([NewJob("noop", {})] * BATCH)
    return JOBS / (time.perf_counter() - began)


async def _submit_alone(world: World) -> float:
    began = time.perf_counter()
    for _ in range(ALONE):
        await world.store.submit([NewJob("noop", {})])
    return ALONE / (time.perf_counter() - began)


async def _work(world: World, level: str) -> float:
    before = (await world.store.stats("default")).finished_total["succeeded"]
    argv = [sys.executable, "-m", "benchmarks.noop_worker", f"sqlite:///{world.store.path}", str(JOBS), level]
    with (world.path / "log.txt").open("wb") as log:
        worker = await asyncio.create_subprocess_exec(*argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=log)
        seconds, _ = await worker.communicate()
    done = (await world.store.stats("default")).finished_total["succeeded"] - before
    if worker.returncode or done != JOBS:
        raise RuntimeError(f"the worker ended with {worker.returncode} after {done} of {JOBS} jobs")
    return JOBS / float(seconds)
