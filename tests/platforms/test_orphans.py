"""No worker outlives its supervisor, however that one ended."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable

import pytest
from children import gone, until

SUPERVISOR = """
import asyncio, os, sys
from gradewatch.platforms.process import ProcessPlatform

async def main():
    platform = ProcessPlatform([sys.executable, "-c", sys.argv[1]], names=("w1", "w2"), queues=(), env=dict(os.environ))
    await platform.start()
    await asyncio.Event().wait()

asyncio.run(main())
"""

WORKER = """
import os, signal, time
from gradewatch.platforms.orphans import die_with_parent

def drain(*_):
    os.write(1, b"drained %d\\n" % os.getpid())  # print() may not be entered twice, as a handler might
    os._exit(0)

def note(*_):
    os.write(1, b"told %d\\n" % os.getpid())

signal.signal(signal.SIGTERM, {handler})
{before}
die_with_parent(grace={grace})
print("ready", os.getpid(), flush=True)
while True:
    time.sleep(0.02)
"""

# Asks only after its supervisor has died: the moment that no signal covers.
BORN_LATE = """
parent = os.getppid()
print("born", os.getpid(), flush=True)
while os.getppid() == parent:
    time.sleep(0.01)
"""


def worker(handler: str = "drain", grace: float = 60.0, before: str = "") -> str:
    return WORKER.format(handler=handler, grace=grace, before=before)


class Family:
    """A supervisor in a process of its own, and the lines that its workers print."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[tuple[str, int]] = []
        self.reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for line in self.process.stdout:
            word, _, pid = line.decode().partition(" ")
            if pid.strip().isdecimal():
                self.lines.append((word, int(pid)))

    def pids(self, word: str) -> set[int]:
        return {pid for said, pid in self.lines if said == word}

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()


@pytest.fixture
async def family() -> AsyncIterator[Callable[[str], object]]:
    families: list[Family] = []

    async def make(program: str) -> Family:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", SUPERVISOR, program, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        families.append(Family(process))
        return families[-1]

    yield make
    for one in families:
        if one.process.returncode is None:
            one.process.kill()
        for _, pid in one.lines:
            if not gone(pid):
                os.kill(pid, signal.SIGKILL)
        # The pipe ends with the last of the family.
        await asyncio.wait_for(one.reader, 10)
        await one.process.wait()


async def test_workers_drain_when_their_supervisor_is_killed(family):
    f = await family(worker())
    await until(lambda: len(f.pids("ready")) == 2)
    os.kill(f.process.pid, signal.SIGKILL)
    await until(lambda: all(gone(pid) for pid in f.pids("ready")))
    await until(lambda: f.pids("drained") == f.pids("ready"))


async def test_worker_that_does_not_drain_is_told_once_and_killed_after_the_grace(family):
    f = await family(worker(handler="note", grace=0.3))
    await until(lambda: len(f.pids("ready")) == 2)
    os.kill(f.process.pid, signal.SIGKILL)
    await until(lambda: all(gone(pid) for pid in f.pids("ready")))
    await asyncio.wait_for(f.reader, 10)
    # Once, however many threads the supervisor had: a worker may take a second SIGTERM for "at once".
    assert sorted(pid for said, pid in f.lines if said == "told") == sorted(f.pids("ready"))


async def test_without_the_kernels_help_workers_drain_too(family):
    f = await family(worker(before="import gradewatch.platforms.orphans as o\no._handle_of = lambda pid: None"))
    await until(lambda: len(f.pids("ready")) == 2)
    os.kill(f.process.pid, signal.SIGKILL)
    await until(lambda: f.pids("drained") == f.pids("ready"))


async def test_supervisor_gone_before_the_worker_asked_stops_it(family):
    f = await family(worker(before=BORN_LATE))
    await until(lambda: len(f.pids("born")) == 2)
    os.kill(f.process.pid, signal.SIGKILL)
    await until(lambda: all(gone(pid) for pid in f.pids("born")))
    await asyncio.wait_for(f.reader, 10)
    assert f.pids("ready") == set()


def run(parent: str) -> subprocess.CompletedProcess[str]:
    program = (
        "import os\nfrom gradewatch.platforms.orphans import die_with_parent\n"
        "print(die_with_parent(), os.environ.get('GRADEWATCH_PARENT_PID'))"
    )
    env = {**os.environ, "GRADEWATCH_PARENT_PID": parent}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, check=False)


def test_supervised_worker_takes_the_variable_out_of_its_environment():
    assert run(str(os.getpid())).stdout == "True None\n"


def test_unsupervised_worker_is_left_alone():
    assert run("").stdout.split()[0] == "False"


def test_a_parent_that_is_not_ours_is_told():
    done = run("999999999")
    assert done.returncode == 1
    assert "PlatformError: The process that started this worker (pid 999999999) is already gone" in done.stderr


def test_a_parent_that_is_no_pid_is_told():
    assert "GRADEWATCH_PARENT_PID is 'supervisor', not a process id" in run("supervisor").stderr
