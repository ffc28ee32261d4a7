"""What `systemctl show` says of units, and what it means, as values. The properties and their values are those of
org.freedesktop.systemd1(5) and systemctl(1): one Key=Value a line, an empty line between two units."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence

from gradewatch.errors import PlatformError
from gradewatch.model import Exit, ExitCause, ExitKind
from gradewatch.platforms.ledger import Sighting

PROPERTIES = (
    "Id", "LoadState", "ActiveState", "SubState", "Result", "MainPID", "ExecMainCode", "ExecMainStatus",
    "ExecMainStartTimestampMonotonic", "ExecMainExitTimestampMonotonic", "NRestarts", "InvocationID",
)  # fmt: skip

Unit = Mapping[str, str]

# CLD_* of wait(2), as ExecMainCode has them.
EXITED, KILLED, DUMPED = 1, 2, 3

RESULTS = {  # systemd.exec(5), $SERVICE_RESULT, where neither exit code nor signal tells the story
    "protocol": "did not follow its service protocol: it never said READY=1",
    "timeout": "took longer than its TimeoutStartSec or TimeoutStopSec",
    "watchdog": "its event loop stood still for longer than WatchdogSec, and systemd ended it",
    "resources": "systemd could not start it for lack of a resource",
    "exec-condition": "its ExecCondition held it back",
}


def parse(text: str) -> list[Unit]:
    """One mapping for each unit, in the order asked for. A line that is no Key=Value continues nothing: it is left."""
    blocks = [block for block in text.split("\n\n") if block.strip()]
    return [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in blocks]


def matched(asked: Sequence[str], units: Sequence[Unit]) -> dict[str, Unit]:
    """The unit of each name asked for. Raises PlatformError where one is unknown to systemd, or one is missing."""
    if len(units) != len(asked):
        raise PlatformError(f"systemctl show told of {len(units)} units where {len(asked)} were asked for")
    for name, unit in zip(asked, units, strict=True):
        if missing := [key for key in PROPERTIES if key not in unit and key != "InvocationID"]:
            raise PlatformError(f"systemctl show does not tell {missing[0]} of {name}: is it a service?")
        if unit["LoadState"] not in ("loaded", "masked"):
            raise PlatformError(
                f'systemd has no usable unit "{name}" ({unit["LoadState"]}), which platform.targets names. After '
                "adding it: systemctl daemon-reload"
            )
    return dict(zip(asked, units, strict=True))


def sighting(name: str, unit: Unit, now: float) -> Sighting:
    """`now` is CLOCK_MONOTONIC in seconds, by which systemd's own times are. An inactive unit is one that nobody wants
    to run: it was stopped, ended well, or was never started; a failed one is wanted, and down."""
    active, sub, life = unit["ActiveState"], unit["SubState"], unit.get("InvocationID", "")
    pid = _number(unit, "MainPID") or None
    age = max(0.0, now - _number(unit, "ExecMainStartTimestampMonotonic") / 1e6)
    restarts = _number(unit, "NRestarts")
    if active == "activating" and sub.startswith("auto-restart"):  # systemd starts it again by itself
        return Sighting(name, life, life, True, 0.0, ended=_ended(unit, now), restarts=restarts)
    if active in ("active", "reloading", "activating", "deactivating", "refreshing"):
        wanted = active != "deactivating"
        return Sighting(name, life, life, True, age if pid else 0.0, pid, wanted=wanted, restarts=restarts)
    wanted = active == "failed" and unit["LoadState"] == "loaded"
    return Sighting(name, life, life, False, wanted=wanted, ended=_ended(unit, now), restarts=restarts)


def _ended(unit: Unit, now: float) -> Exit | None:
    """How its last main process ended; None where there was none."""
    started = _number(unit, "ExecMainStartTimestampMonotonic") / 1e6
    if not started and unit["Result"] == "success":
        return None
    ended = _number(unit, "ExecMainExitTimestampMonotonic") / 1e6 or now
    return Exit(max(0.0, now - ended), max(0.0, ended - (started or ended)), cause(unit))


def cause(unit: Unit) -> ExitCause:
    result, code, status = unit["Result"], _number(unit, "ExecMainCode"), _number(unit, "ExecMainStatus")
    if result == "oom-kill":
        return ExitCause(ExitKind.OOM_KILLED, status, "out of memory: systemd saw the kernel kill it (Result=oom-kill)")
    if result == "start-limit-hit":
        return ExitCause(ExitKind.CRASH_LOOP, status, "given up by systemd: it was started too often (start-limit-hit)")
    if result in RESULTS:
        return ExitCause(ExitKind.GONE, status, RESULTS[result])
    if code in (KILLED, DUMPED):
        return ExitCause(ExitKind.SIGNALLED, status, _signal(status))
    if code == EXITED:
        return ExitCause(ExitKind.EXITED, status)
    return ExitCause(ExitKind.GONE, status, f"ended, says systemd ({result})")


def _signal(number: int) -> str:
    known = {s.value: s.name for s in signal.Signals}
    return known.get(number, f"signal {number}")


def _number(unit: Unit, key: str) -> int:
    """0 for what systemd leaves unset."""
    value = unit.get(key, "")
    return int(value) if value.isdecimal() and len(value) < 19 else 0
