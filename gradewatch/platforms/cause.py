"""How a child process ended, as a type; and whether the kernel killed it for want of memory."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path

from gradewatch.model import ExitCause, ExitKind


@dataclass(slots=True)
class OomMark:
    """How many processes of one cgroup the kernel had killed for want of memory when a child started in it."""

    path: Path
    kills: int

    @classmethod
    def now(cls, path: Path | None) -> OomMark | None:
        """None when the counter cannot be read: then nothing is ever said about memory."""
        kills = read_oom_kills(path) if path else None
        return None if path is None or kills is None else cls(path, kills)

    def rise(self) -> str:
        """What the counter says now, in words; empty when it has not risen."""
        now = read_oom_kills(self.path)
        if now is None or now <= self.kills:
            return ""
        return f"out of memory: SIGKILL while oom_kill in {self.path} rose from {self.kills} to {now}"


def cause_of(returncode: int, oom: str = "") -> ExitCause:
    """The cause behind a return code as asyncio gives it: negative for a signal. `oom` is OomMark.rise()."""
    if returncode >= 0:
        return ExitCause(ExitKind.EXITED, returncode)
    number = -returncode
    if number == signal.SIGKILL and oom:
        return ExitCause(ExitKind.OOM_KILLED, number, oom)
    return ExitCause(ExitKind.SIGNALLED, number, _signal_name(number))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # real-time signals between RTMIN and RTMAX have no name
        return f"signal {number}"


def oom_counter(pid: int, *, proc: Path = Path("/proc"), root: Path = Path("/sys/fs/cgroup")) -> Path | None:
    """The file that counts OOM kills in the cgroup of a process: cgroup v2 `memory.events`, or `memory.oom_control`
    where the memory controller is still v1. None where there is neither. See cgroups(7) for /proc/PID/cgroup."""
    try:
        lines = (proc / str(pid) / "cgroup").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        _, controllers, path = line.split(":", 2)
        inside = path.lstrip("/")
        if "memory" in controllers.split(","):
            return root / "memory" / inside / "memory.oom_control"
        if not controllers and (events := root / inside / "memory.events").exists():
            return events
    return None


def read_oom_kills(path: Path) -> int | None:
    """The `oom_kill` line of such a file; None when it cannot be read or has none."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        key, _, value = line.partition(" ")
        if key == "oom_kill" and value.strip().isdecimal():
            return int(value)
    return None
