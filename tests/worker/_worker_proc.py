"""A worker as a process of its own, for tests that send it signals: DATABASE DRAIN_SECONDS HEARTBEAT_TIMEOUT.

Its handler grades the payload's papers in order and notes each in `graded.log` beside the database; having
checkpointed the paper `hold_at`, it waits until the file `let-go` appears there. Log lines go to stdout as JSON.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog

from gradewatch.config import WorkerSettings
from gradewatch.model import PaperResult
from gradewatch.stores.sqlite import SqliteStore
from gradewatch.worker.context import JobContext
from gradewatch.worker.runtime import Worker

DATABASE, DRAIN, HEARTBEAT = Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])


async def grade(context: JobContext) -> Mapping[str, Any]:
    payload = context.job.payload
    saved = {paper.index for paper in await context.saved_papers()}
    for index in range(payload["papers"]):
        if index in saved:
            continue
        with DATABASE.with_name("graded.log").open("a") as notes:
            notes.write(f"{index}\n")
        await context.save_paper(PaperResult(index, f"{index}.pdf", "graded", 1.0, 1.0, {}))
        while index == payload["hold_at"] and not DATABASE.with_name("let-go").exists():
            await asyncio.sleep(0.01)
    return {"papers": payload["papers"]}


async def _store() -> SqliteStore:
    store = SqliteStore(DATABASE)
    await store.open()
    return store


async def main() -> None:
    store = await _store()
    worker = Worker(
        store,
        _store,
        name="process",
        queues=["default"],
        handlers={"grade": grade},
        settings=WorkerSettings(slots=2, poll=0.1, drain=DRAIN),
        heartbeat_timeout=HEARTBEAT,
        version="test",
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, worker.request_drain)
    await worker.run()
    await store.close()


structlog.configure(
    processors=[structlog.processors.format_exc_info, structlog.processors.JSONRenderer()],
    logger_factory=structlog.PrintLoggerFactory(),
)
asyncio.run(main())
