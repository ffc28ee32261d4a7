"""kill -9 of the worker that runs a job until the job runs on another: ours with its watch, and the peers, all at their
defaults on one server, at the same time. Who has not taken the job back by `LIMIT` is told so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.figures import Entry, at_most, worth_knowing
from benchmarks.world import ROOT
from gradewatch.config import Timeouts

LIMIT = 120.0  # seconds after the kill
SETTLE = 10.0  # seconds before it: every worker has beaten, and the watch has looked twice
BAR = Timeouts().heartbeat + 3.0  # seconds; a beat every three


def entries(urls: dict[str, str], commands: dict[str, Callable[[Path], Sequence[Sequence[str]]]]) -> list[Entry]:
    """`commands`: what each runs, first the two workers, given the file in which they note that they have begun."""
    with ThreadPoolExecutor(len(commands)) as pool:
        taken = dict(zip(commands, pool.map(lambda name: _kill(urls[name], commands[name]), commands), strict=True))
    found = []
    for name, seconds in taken.items():
        words = f"kill -9 of a worker until its job runs again on PostgreSQL, {name}"
        detail = "" if seconds < LIMIT else f"not taken back within {LIMIT:g} s"
        found.append(
            at_most(words, seconds, "s", BAR, detail)
            if name == "gradewatch"
            else worth_knowing(words, seconds, "s", detail)
        )
    return found


def _kill(url: str, commands: Callable[[Path], Sequence[Sequence[str]]]) -> float:
    with tempfile.TemporaryDirectory(prefix="gradewatch-bench-") as folder:
        file = Path(folder) / "begun"
        file.touch()
        environ = os.environ | {"GRADEWATCH_STORE__URL": url, "GRADEWATCH_HTTP__PORT": "0"}
        processes = [
            subprocess.Popen(one, cwd=ROOT, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for one in commands(file)
        ]
        try:
            if _begun(file, 1, LIMIT) is None:
                raise RuntimeError(f"no worker has begun the job within {LIMIT:g} s: {processes[0].args!r}")
            time.sleep(SETTLE)
            os.kill(int(file.read_text().split()[0]), signal.SIGKILL)
            began = time.monotonic()
            again = _begun(file, 2, LIMIT)
            return LIMIT if again is None else again - began
        finally:
            for process in processes:
                process.kill()
                process.wait()


def _begun(file: Path, times: int, within: float) -> float | None:
    """When the job has begun so many times; None when it has not within that many seconds."""
    deadline = time.monotonic() + within
    while len(file.read_text().splitlines()) < times:
        if time.monotonic() > deadline:
            return None
        time.sleep(0.02)
    return time.monotonic()


def ours(url: str) -> Callable[[Path], Sequence[Sequence[str]]]:
    def commands(file: Path) -> Sequence[Sequence[str]]:
        worker = (sys.executable, "-m", "benchmarks.holding_worker", url, str(file))
        return worker, worker, (sys.executable, "-m", "gradewatch", "watch")

    return commands


def peer(python: str, script: Path, url: str) -> Callable[[Path], Sequence[Sequence[str]]]:
    def commands(file: Path) -> Sequence[Sequence[str]]:
        worker = (python, str(script), "hold", url, str(file))
        return worker, worker

    return commands
