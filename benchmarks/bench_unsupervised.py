"""kill -9 of a worker that nobody supervises until its job runs on another: only its silence tells of its death.

Several worlds side by side, each with the real `gradewatch watch` and two `gradewatch worker` processes at default
settings, so that a handful of kills takes no longer than one. The kills fall at different phases of the heartbeat.
"""

from __future__ import annotations

import asyncio
import time

from benchmarks.figures import Entry, at_most, spread
from benchmarks.world import world
from gradewatch.config import Timeouts

WORLDS = 5
BAR = Timeouts().heartbeat + 3.0  # seconds
STAGGER = 0.7  # seconds between two kills: no multiple of the three between two beats


async def run() -> list[Entry]:
    seconds = await asyncio.gather(*(_kill(n * STAGGER) for n in range(WORLDS)))
    name = "kill -9 of an unsupervised worker until its job runs again, worst"
    return [at_most(name, max(seconds), "s", BAR, spread(seconds, "s"))]


async def _kill(phase: float) -> float:
    async with (
        world() as made,
        made.running("watch"),
        made.running("worker") as first,
        made.running("worker") as second,
    ):
        await made.watch_acts()  # silence counts from when the watch has seen it
        workers = {s.id: s.pid for s in await made.workers_ready(2, beating=True)}
        await asyncio.sleep(phase)
        claim = await made.at_work(await made.submit())
        victim = first if workers[claim.session] == first.pid else second
        victim.kill()
        began = time.monotonic()
        await made.runs_again(claim)
        seconds = time.monotonic() - began
        await made.cancel(claim.job)
        return seconds
