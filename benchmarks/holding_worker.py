"""`python -m benchmarks.holding_worker URL FILE`: a worker process at default settings, which notes in FILE that it has
begun a job (its process id), and never ends one."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gradewatch.app.stores import opener
from gradewatch.config import Settings, StoreSettings, Timeouts, WorkerSettings
from gradewatch.worker.context import JobContext
from gradewatch.worker.runtime import Worker


async def main(url: str, file: Path) -> None:
    async def hold(context: JobContext) -> Mapping[str, Any]:
        with file.open("a") as noted:
            noted.write(f"{os.getpid()}\n")
        await asyncio.Event().wait()
        return {}

    open_store = opener(Settings(store=StoreSettings(url=url)))
    await Worker(
        await open_store(),
        open_store,
        name=f"holding-{os.getpid()}",
        queues=["default"],
        handlers={"grade": hold},
        settings=WorkerSettings(),
        heartbeat_timeout=Timeouts().heartbeat,
        version="bench",
    ).run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
