"""`python -m benchmarks.peers.our_worker URL`: a worker of ours at default settings whose jobs never end. Says "ready",
and "begun" with each job."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from typing import Any

from gradewatch.app.stores import opener
from gradewatch.config import Settings, StoreSettings
from gradewatch.worker.context import JobContext
from gradewatch.worker.runtime import Worker


async def hold(context: JobContext) -> Mapping[str, Any]:
    print("begun", flush=True)
    await asyncio.Event().wait()
    return {}


async def main(url: str) -> None:
    settings = Settings(store=StoreSettings(url=url))
    open_store = opener(settings)
    worker = Worker(
        await open_store(),
        open_store,
        name=f"worker-{os.getpid()}",
        queues=["default"],
        handlers={"grade": hold},
        settings=settings.worker,
        heartbeat_timeout=settings.timeouts.heartbeat,
        version="bench",
    )
    print("ready", flush=True)
    await worker.run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
