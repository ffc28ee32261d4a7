"""The watch alone at rest: the real `gradewatch watch` over an empty queue at its default cycle of 5 s.

Resident memory when the time is up, the part of it that is this process's own, and processor time over the time
measured, of one core.
"""

from __future__ import annotations

import asyncio

import psutil

from benchmarks.figures import Entry, at_most, worth_knowing
from benchmarks.world import processor_seconds, world

SETTLE, MEASURE = 11.0, 35.0  # seconds: two cycles, seven cycles
MEMORY_BAR, CPU_BAR = 70.0, 1.0  # MB, % of a core


async def run() -> list[Entry]:
    async with world() as made, made.running("watch") as process:
        watch = psutil.Process(process.pid)
        await made.until(lambda: _listens(watch), "the watch listens")
        await asyncio.sleep(SETTLE)
        before = processor_seconds(watch)
        await asyncio.sleep(MEASURE)
        percent = (processor_seconds(watch) - before) / MEASURE * 100
        memory = watch.memory_full_info()
    return [
        at_most("the watch at rest, resident memory (RSS)", memory.rss / 1e6, "MB", MEMORY_BAR),
        worth_knowing("the watch at rest, memory of its own (USS)", memory.uss / 1e6, "MB"),
        at_most("the watch at rest, of one core", percent, "%", CPU_BAR),
    ]


async def _listens(process: psutil.Process) -> bool | None:
    return True if any(c.status == psutil.CONN_LISTEN for c in process.net_connections()) else None
