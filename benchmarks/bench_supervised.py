"""kill -9 of a supervised worker until its job runs again, under the real `gradewatch run`.

With one worker process the job must wait until that very process has been started anew; with two, the other one has a
free slot. Each kill gets a fresh job and a worker that holds nothing else.
"""

from __future__ import annotations

import os
import signal
import time

from benchmarks.figures import Entry, at_most, percentile, spread
from benchmarks.world import World, world

KILLS = 50
BAR = 1.0  # second
VERIFY_EVERY = 8  # kills: then the new worker lives until its first beat, which verifies the restarts before it
# Nothing but what lets somebody kill a worker fifty times in a row.
SETTINGS = """
[remediation]
cooldown = "1ms"
cooldown_max = "1ms"
budget = {{ restart = "1000/1h", requeue = "1000/10m" }}
[worker]
processes = {processes}
"""


async def run() -> list[Entry]:
    entries = []
    for processes, words in ((1, "the only worker"), (2, "one of two workers")):
        async with world(SETTINGS.format(processes=processes)) as made, made.running("run"):
            took = [await _kill(made, processes, verify=n % VERIFY_EVERY == 0) for n in range(KILLS + 1)]
        seconds = took[1:]  # the first one warms up
        name = f"kill -9 of {words} until its job runs again, p99"
        entries.append(at_most(name, percentile(seconds, 99), "s", BAR, spread(seconds, "s")))
    return entries


async def _kill(world: World, processes: int, *, verify: bool) -> float:
    workers = await world.workers_ready(processes, beating=verify)
    claim = await world.at_work(await world.submit())
    [victim] = [worker for worker in workers if worker.id == claim.session]
    os.kill(victim.pid, signal.SIGKILL)
    began = time.monotonic()
    await world.runs_again(claim)
    seconds = time.monotonic() - began
    await world.cancel(claim.job)
    return seconds
