"""`python -m benchmarks.noop_worker URL JOBS LEVEL [SLOTS]`: a worker process whose jobs do nothing. Ends once it has
done that many, and prints how many seconds it took.

Over a server of its own (PostgreSQL) it is given twice as many slots as it claims at once, so that both work together.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping
from typing import Any

from gradewatch.app.stores import opener
from gradewatch.cli.logs import set_up_logs
from gradewatch.config import Settings, StoreSettings, WorkerSettings
from gradewatch.worker.context import JobContext
from gradewatch.worker.observer import Observer
from gradewatch.worker.runtime import Worker

SLOTS = 256
SERVER_SLOTS = 512


class Count(Observer):
    """Calls back once so many jobs are done."""

    def __init__(self, jobs: int) -> None:
        self._left = jobs
        self.worker: Worker | None = None
        self.ended = 0.0

    def on_job_done(self, kind: str, outcome: str, seconds: float) -> None:
        self._left -= 1
        if self._left == 0 and self.worker is not None:
            self.ended = time.perf_counter()
            self.worker.request_drain()


async def noop(context: JobContext) -> Mapping[str, Any]:
    return {}


async def main(url: str, jobs: int, slots: int = SLOTS) -> None:
    open_store = opener(Settings(store=StoreSettings(url=url)))
    store = await open_store()
    count = Count(jobs)
    count.worker = Worker(
        store,
        open_store,
        name="noop",
        queues=["default"],
        handlers={"noop": noop},
        settings=WorkerSettings(slots=slots),
        heartbeat_timeout=15.0,
        version="bench",
        observer=count,
    )
    began = time.perf_counter()
    await count.worker.run()
    await store.close()
    print(count.ended - began)


if __name__ == "__main__":
    set_up_logs("json", sys.argv[3])
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), *map(int, sys.argv[4:])))
