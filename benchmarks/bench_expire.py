"""100,000 jobs time out at one instant under the real `gradewatch watch`: how long until all of them are failed, and
for how long at most are other writers kept out meanwhile?

The jobs lie in the store already; the watch's `schedule_to_start` is set so that it ends some seconds after the start.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import psutil

from benchmarks.figures import Entry, at_most, percentile, worth_knowing
from benchmarks.world import ROOT, World, processor_seconds, world
from gradewatch.model import NewJob
from gradewatch.stores.sqlite import SqliteStore

JOBS, BATCH = 100_000, 1000
LEAD = 5.0  # seconds for the watch to start and to run the cycle that only observes
SECONDS_BAR, WRITE_BAR = 10.0, 250.0  # seconds, milliseconds
SETTINGS = """
[remediation]
budget = {{ expire = "200000/10m" }}
[timeouts]
schedule_to_start = "{milliseconds}ms"
"""


async def run() -> list[Entry]:
    async with world() as made:
        submitted = datetime.now(UTC)
        await _submit(made, submitted)
        patience = datetime.now(UTC) - submitted + timedelta(seconds=LEAD)
        made.configure(SETTINGS.format(milliseconds=round(patience.total_seconds() * 1000)))
        with _probing(made) as holds:
            async with made.running("watch") as process:
                done = await made.until(lambda: _all_failed(made), "all jobs are expired", look=0.05)
                cpu = processor_seconds(psutil.Process(process.pid))
            seconds = (done - submitted - patience).total_seconds()
    words = f"{len(holds)} holds seen, p99 {percentile(holds, 99):.0f} ms"
    return [
        at_most(f"expiring {JOBS:,} timed-out jobs", seconds, "s", SECONDS_BAR),
        at_most("expiring, longest single write", max(holds), "ms", WRITE_BAR, words),
        worth_knowing("expiring, rate", JOBS / seconds, "jobs/s", f"{cpu:.1f} s of processor time in the watch"),
    ]


async def _submit(world: World, when: datetime) -> None:
    """All of them at one instant, by a clock that stands still."""
    micros = round(when.timestamp() * 1_000_000)
    store = SqliteStore(world.store.path, clock=lambda: micros)
    for _ in range(JOBS // BATCH):
        await store.submit([NewJob("grade", {})] * BATCH)
    await store.close()


async def _all_failed(world: World) -> datetime | None:
    stats = await world.store.stats("default")
    return stats.now if stats.finished_total["failed"] == JOBS else None


@contextmanager
def _probing(world: World) -> Iterator[list[float]]:
    """The milliseconds of every hold of the write lock are in the list once the context has ended."""
    holds: list[float] = []
    argv = [sys.executable, "-m", "benchmarks.lock_prober", str(world.store.path)]
    with subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as prober:
        try:
            yield holds
        finally:
            output, _ = prober.communicate()
    holds += json.loads(output)
