"""The whole story on the embedded default: thirty papers, two workers, one of them killed half way, nothing lost."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from gradewatch import app
from gradewatch.app.exam import exam_folder
from gradewatch.board import Board
from gradewatch.config import (
    HttpSettings,
    LogSettings,
    QueueSettings,
    Settings,
    StoreSettings,
    Timeouts,
    WatchSettings,
    WorkerSettings,
)
from gradewatch.demo.look import look_around, watched
from gradewatch.demo.monitoring import free_port
from gradewatch.demo.story import Story
from gradewatch.demo.teller import Teller, say

PAPERS_A_JOB = 5
DEADLINE = 600.0  # seconds the whole demo may take


def run_demo(*, report: Path, keep: Path | None = None, monitoring: bool = False) -> int:
    """Tell the story on standard output and write `report`. Returns 0 when every paper was graded exactly once.

    With `monitoring`, a Prometheus and an Alertmanager watch it, and all of it stays until Ctrl-C. Raises
    GradewatchError where they are not installed.
    """
    with ExitStack() as stack:
        if keep is None:
            keep = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gradewatch-demo-")))
        keep.mkdir(parents=True, exist_ok=True)
        if not monitoring:
            return asyncio.run(_demo(demo_settings(keep), keep, report))
        settings = replace(demo_settings(keep), http=HttpSettings(port=free_port()))
        servers = stack.enter_context(watched(keep, settings.http.port))
        return asyncio.run(_demo(settings, keep, report, then=lambda: look_around(servers, settings.http.port)))


def demo_settings(folder: Path) -> Settings:
    """Two workers of one slot each over a fresh SQLite file, with a quick pulse so that nobody has to wait."""
    timeouts = Timeouts(heartbeat=5.0)
    return Settings(
        store=StoreSettings(url=f"sqlite:///{(folder / 'gradewatch.db').absolute()}"),
        http=HttpSettings(port=0),
        watch=WatchSettings(interval=1.0),
        timeouts=timeouts,
        queues={"default": QueueSettings(timeouts=timeouts)},
        worker=WorkerSettings(processes=2, slots=1),
        log=LogSettings(format="json"),
    )


def _environ(settings: Settings, folder: Path) -> Mapping[str, str]:
    """What the worker processes are told. None of the caller's own settings reach them, from a file or otherwise."""
    config = folder / "gradewatch.toml"
    config.write_text("# The demo's settings come from the environment.\n")
    env = {name: value for name, value in os.environ.items() if not name.startswith("GRADEWATCH_")}
    return env | {
        "GRADEWATCH_CONFIG": str(config),
        "GRADEWATCH_STORE__URL": settings.store.url,
        "GRADEWATCH_TIMEOUTS__HEARTBEAT": f"{settings.timeouts.heartbeat:g}s",
        "GRADEWATCH_WORKER__SLOTS": str(settings.worker.slots),
        "GRADEWATCH_LOG__FORMAT": "json",
    }


async def _demo(
    settings: Settings, folder: Path, report: Path, then: Callable[[], Awaitable[None]] | None = None
) -> int:
    exam = exam_folder()
    store = app.make_store(settings)
    board, stop, teller = Board(), asyncio.Event(), Teller()
    board.listen(teller.report)
    try:
        await store.migrate()
        await store.open()
        say(f"a fresh queue in {settings.store.url}, no server and no key")
        running = asyncio.create_task(
            app.run(
                settings, config=None, environ=_environ(settings, folder), stop=stop, on_line=teller.line, board=board
            )
        )
        try:
            story = Story(store, exam, teller, running)
            async with asyncio.timeout(DEADLINE):
                outcome = await story.tell(PAPERS_A_JOB)
            report.write_text(json.dumps(outcome, indent=2) + "\n")
            say(f"report written to {report}")
            if then is not None:
                await then()
        finally:
            stop.set()
            await running
    finally:
        await store.close()
    return 0 if outcome["graded"] == outcome["papers"] and not outcome["lost"] + outcome["graded_twice"] else 1
