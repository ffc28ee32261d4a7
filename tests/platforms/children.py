"""Real children for the process platform: small Python programs, told apart by what they do with a signal."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import psutil

from gradewatch.model import Target
from gradewatch.platforms.process import ProcessPlatform

Command = Callable[[str], Sequence[str]] | Sequence[str]


def python(program: str) -> list[str]:
    """The argument vector of a small program; -S and -E make it start fast."""
    return [sys.executable, "-S", "-E", "-c", program]


# Each prints "ready" once its signal handling is in place. They sleep in short turns because a signal that comes just
# before signal.pause() would be handled only at the next one.
_FOREVER = "print('ready', flush=True)\nwhile True: time.sleep(0.02)"
WAITS = python("import time\n" + _FOREVER)
DRAINS = python("import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n" + _FOREVER)
IGNORES_TERM = python("import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + _FOREVER)


def gone(pid: int) -> bool:
    """True when no such process runs; one that waits to be reaped by somebody else's init is gone too."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until the condition holds; fail when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.005)


class Supervised:
    """A platform under test with what its children printed and when it woke."""

    def __init__(self, command: Command, **options: Any) -> None:
        self.lines: list[tuple[str, str]] = []
        self.woken: list[float] = []
        defaults = {"names": ("w1",), "output": lambda name, line: self.lines.append((name, line))}
        self.platform = ProcessPlatform(command, queues=("default",), env=dict(os.environ), **(defaults | options))
        self.platform.on_event(lambda: self.woken.append(time.monotonic()))

    async def start(self) -> None:
        await self.platform.start()

    async def ready(self, times: int = 1) -> None:
        await until(lambda: sum(line == "ready" for _, line in self.lines) >= times)

    async def ended(self, times: int = 1) -> None:
        await until(lambda: len(self.woken) >= times)

    async def target(self, name: str = "w1") -> Target:
        return next(t for t in await self.platform.targets() if t.name == name)

    async def kill(self) -> None:
        running = [target.pid for target in await self.platform.targets() if target.pid]
        for pid in running:
            os.killpg(pid, signal.SIGKILL)
        await until(lambda: not any(psutil.pid_exists(pid) for pid in running))
