"""One supervised process: started in a session of its own, signalled, waited for, its whole group swept away."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from gradewatch.errors import PlatformError
from gradewatch.platforms.cause import OomMark
from gradewatch.platforms.identity import Identity
from gradewatch.platforms.orphans import PARENT_PID
from gradewatch.platforms.output import LinePump, OnLine

log = structlog.get_logger(__name__)

KILL_WAIT = 5.0  # seconds until a process that does not even end of SIGKILL is given up on


@dataclass(eq=False)
class Child:
    """A process and what was known of it at its start; `ended` is set once its end has been recorded."""

    identity: Identity
    process: asyncio.subprocess.Process
    pump: LinePump | None
    oom: OomMark | None = None
    started: float = field(default_factory=time.monotonic)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    killed: bool = False  # by us

    @property
    def pid(self) -> int:
        return self.process.pid

    async def end(self, grace: float) -> None:
        """SIGTERM, and SIGKILL to the whole group `grace` seconds later; returns when the process has ended.

        SIGTERM goes to the process alone, for its helpers must go on while it drains. SIGCONT follows, as in
        systemd.kill(5), so that a stopped process can drain too. Raises PlatformError if it outlives SIGKILL.
        """
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)
        if await self._ended_within(grace):
            return
        self.killed = True
        self.kill_group()
        if not await self._ended_within(KILL_WAIT):
            raise PlatformError(
                f"Worker {self.identity.target} (pid {self.pid}) has not ended {KILL_WAIT:g} s after SIGKILL: the "
                "kernel holds it in an uninterruptible call, often on a dead disk or network mount. "
                f"See: ps -o stat,wchan -p {self.pid}"
            )

    def kill_group(self) -> None:
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return  # nobody of the group is left, which is what was wanted
        except PermissionError as error:  # a helper that changed its user; or, on macOS, a group of zombies
            log.warning("could not kill a worker's group", worker=self.identity.target, pid=self.pid, error=str(error))

    def _signal(self, number: signal.Signals) -> None:
        # Not Process.send_signal: in Python 3.11 it polls, and so can take the exit status from asyncio's waiter.
        if self.process.returncode is not None:
            return
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return  # it has just ended; its waiter is about to say so

    async def _ended_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self.ended.wait(), seconds)
        except TimeoutError:
            return False
        return True


async def spawn_child(identity: Identity, argv: Sequence[str], env: Mapping[str, str], on_line: OnLine | None) -> Child:
    """Start a process in its own session, so that a Ctrl-C in the terminal does not reach it and a kill reaches its
    whole group. Its output is our own, or goes to `on_line`. Raises OSError when it cannot be started."""
    env = {**env, **identity.variables(), PARENT_PID: str(os.getpid())}
    if on_line is None:
        return Child(identity, await _exec(argv, env, None), None)
    # A pipe of our own: asyncio's PIPE holds back wait() for as long as a grandchild keeps it open.
    read, write = os.pipe()
    try:
        process = await _exec(argv, env, write)
    except BaseException:
        os.close(read)
        raise
    finally:
        os.close(write)
    return Child(identity, process, LinePump(read, identity.target, on_line))


async def _exec(argv: Sequence[str], env: Mapping[str, str], output: int | None) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env=env,
        start_new_session=True,
    )
