"""`gradewatch run`: the watch with its workers as supervised children, the embedded default."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from gradewatch.app.watching import watch
from gradewatch.app.working import claimable
from gradewatch.board import Board
from gradewatch.config import Settings
from gradewatch.platforms.process import ProcessPlatform

STOP_MARGIN = 6.0  # seconds a worker may take beyond its drain to write and leave


def worker_children(
    settings: Settings,
    *,
    config: Path | None,
    environ: Mapping[str, str],
    on_line: Callable[[str, str], None] | None = None,
) -> ProcessPlatform:
    """The supervised workers of these settings, not started yet."""
    env = dict(environ)
    if config is not None:
        env["GRADEWATCH_CONFIG"] = str(config)
    return ProcessPlatform(
        [sys.executable, "-m", "gradewatch", "worker"],
        names=[f"worker-{n}" for n in range(1, settings.worker.processes + 1)],
        queues=claimable(settings),
        env=env,
        stop_timeout=settings.worker.drain + STOP_MARGIN,
        output=on_line,
    )


async def run(
    settings: Settings,
    *,
    config: Path | None,
    environ: Mapping[str, str],
    stop: asyncio.Event,
    on_line: Callable[[str, str], None] | None = None,
    board: Board | None = None,
) -> None:
    """Workers, watch and HTTP in one, until `stop`; then the workers drain. Raises PlatformError when no worker can be
    started at all."""
    platform = worker_children(settings, config=config, environ=environ, on_line=on_line)
    await platform.start()
    try:
        await watch(settings, environ=environ, stop=stop, platform=platform, board=board, config=config)
    finally:
        await platform.stop()
