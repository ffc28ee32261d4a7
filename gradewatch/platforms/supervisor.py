"""supervisord: programs seen and restarted over its XML-RPC, by HTTP or over its unix socket.

A process is ended by signals and not by `stopProcess`: a stopped program stays stopped, and nobody could tell ours from
an operator's `supervisorctl stop`, should the watch die between the stop and the start.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog

from gradewatch.errors import Conflict, PlatformError
from gradewatch.model import Exit, ExitCause, ExitKind, Sight, Target
from gradewatch.platforms.ledger import Ledger, Sighting
from gradewatch.platforms.xmlrpc import Fault, Rpc

log = structlog.get_logger(__name__)

GRACE = 2.0  # seconds after SIGTERM: what is restarted is believed to hang
GONE = 3.0  # seconds after SIGKILL
UP = 4.0  # seconds for a new process to appear
LOOKS = 4.0  # seconds one call may take at most: a probe has five
LOOK = 0.1  # seconds between two looks meanwhile

STOPPED, STARTING, RUNNING, BACKOFF, STOPPING, EXITED, FATAL = 0, 10, 20, 30, 40, 100, 200
ALIVE = (STARTING, RUNNING, STOPPING)
BAD_NAME, SPAWN_ERROR, ALREADY_STARTED, NOT_RUNNING = 10, 50, 60, 70  # supervisor.xmlrpc.Faults

Info = Mapping[str, Any]


class SupervisorPlatform:
    """`programs` are names as `supervisorctl status` shows them: a program, a group (all its processes), or
    group:process. `url` is http://host:port or unix:///path/of/supervisor.sock."""

    kind = "supervisor"

    def __init__(
        self,
        url: str,
        programs: Sequence[str],
        *,
        queues: tuple[str, ...],
        username: str = "",
        password: str = "",
        timeout: float = 5.0,
    ) -> None:
        self._programs = tuple(programs)
        self._rpc = Rpc(url, who="supervisord", username=username, password=password, timeout=min(timeout, LOOKS))
        self._ledger = Ledger(queues)
        self._pids: dict[str, tuple[int, int]] = {}  # by program: when its last known life began, and its pid

    async def targets(self) -> Sequence[Target]:
        infos = [_checked(info) for info in await self._call("getAllProcessInfo")]
        chosen: dict[str, Info] = {}
        for program in self._programs:
            found = [i for i in infos if program in (name_of(i), i["group"], f"{i['group']}:*")]
            if not found:
                raise PlatformError(
                    f'supervisord has no program "{program}", which platform.targets names: it has '
                    f"{', '.join(map(name_of, infos)) or 'none'}. After a change of its configuration: "
                    "supervisorctl update"
                )
            chosen |= {name_of(i): i for i in found}
        return tuple(self._ledger.target(self._sighting(info), Sight.PROCESS) for info in chosen.values())

    async def restart(self, target: str, incarnation: str) -> str:
        """SIGTERM, SIGKILL, then start it, unless supervisord has done so already. Raises Conflict, PlatformError."""
        info = await self._info(target)
        seen = sighting(info)
        if not seen.wanted:
            raise Conflict(f"{target} was stopped on purpose in supervisord; it is not restarted")
        if seen.incarnation != incarnation:
            raise Conflict(f"{target} is no longer {incarnation}, but {seen.incarnation}: it was restarted meanwhile")
        if info["state"] in ALIVE:
            await self._end(target, info)
        try:
            await self._call("startProcess", target, False)
        except Fault as fault:
            if fault.code != ALREADY_STARTED:  # autorestart was quicker
                raise PlatformError(f"supervisord cannot start {target}: {fault.words}") from fault
        return sighting(await self._up(target)).incarnation

    def on_event(self, wake: Callable[[], None]) -> None:
        """supervisord tells its event listeners only, which are its own children: this platform is looked at."""

    # ---------------------------------------------------------------- inside

    def _sighting(self, info: Info) -> Sighting:
        """What is seen now, with the pid that a life had while it ran: supervisord forgets it at its end, and starts a
        program twice within one of its seconds."""
        name, start = name_of(info), info["start"]
        known = self._pids.get(name, (0, 0))
        pid = info["pid"] or (known[1] if known[0] == start else 0)
        self._pids[name] = (start, pid)
        return replace(sighting(info), life=f"{name}.{start}.{pid}")

    async def _end(self, target: str, old: Info) -> None:
        def over(now: Info) -> bool:
            return bool(now["pid"] != old["pid"] or now["start"] != old["start"])

        for signals, patience in ((("TERM", "CONT"), GRACE), (("KILL",), GONE)):
            for signal in signals:  # CONT: a process that was stopped can drain too
                try:
                    await self._call("signalProcess", target, signal)
                except Fault as fault:
                    if fault.code != NOT_RUNNING:
                        raise PlatformError(f"supervisord cannot signal {target}: {fault.words}") from fault
            if await self._seen(target, over, patience):
                return
        raise PlatformError(
            f"{target} (pid {old['pid']}) has not ended {GONE:g} s after SIGKILL: the kernel holds it in an "
            f"uninterruptible call, often on a dead disk. See: ps -o stat,wchan -p {old['pid']}"
        )

    async def _up(self, target: str) -> Info:
        if found := await self._seen(target, lambda now: now["state"] in (STARTING, RUNNING), UP):
            return found
        info = await self._info(target)
        raise PlatformError(f"{target} does not start: supervisord says {_state(info)}")

    async def _seen(self, target: str, what: Callable[[Info], bool], seconds: float) -> Info | None:
        deadline = time.monotonic() + seconds
        while True:
            info = await self._info(target)
            if what(info):
                return info
            if info["state"] == FATAL or time.monotonic() >= deadline:
                return None
            await asyncio.sleep(LOOK)

    async def _info(self, target: str) -> Info:
        try:
            return _checked(await self._call("getProcessInfo", target))
        except Fault as fault:
            raise PlatformError(f'supervisord does not know "{target}": {fault.words}') from fault

    async def _call(self, method: str, *params: Any) -> Any:
        return await self._rpc.call(f"supervisor.{method}", *params)


def _checked(info: Any) -> Info:
    """Raises PlatformError when it is not what supervisord tells of a process."""
    numbers = ("state", "start", "stop", "now", "pid", "exitstatus")
    if isinstance(info, dict) and all(isinstance(info.get(key), int) for key in numbers):
        return {"spawnerr": "", **info, "name": str(info.get("name")), "group": str(info.get("group"))}
    raise PlatformError("supervisord answered with something that is no process: is this its address?")


def name_of(info: Info) -> str:
    """As `supervisorctl` writes it."""
    name, group = info["name"], info["group"]
    return str(name if name == group else f"{group}:{name}")


def sighting(info: Info) -> Sighting:
    """PURE. What supervisord's words mean. Its times are in whole seconds by its own clock; only their differences are
    used. Raises PlatformError for its state UNKNOWN."""
    name, state = name_of(info), info["state"]
    age = max(0.0, float(info["now"] - info["start"]))
    life = incarnation = f"{name}.{info['start']}.{info['pid']}"
    if state in (STARTING, RUNNING, STOPPING):
        return Sighting(name, life, incarnation, True, age, info["pid"], wanted=state != STOPPING)
    if state == BACKOFF:  # supervisord starts it again by itself: as good as starting
        return Sighting(name, life, incarnation, True, 0.0, ended=_ended(info))
    if state in (STOPPED, EXITED, FATAL):
        return Sighting(name, life, incarnation, False, wanted=state != STOPPED, ended=_ended(info))
    raise PlatformError(f"supervisord does not know the state of {name} ({_state(info)})")


def _ended(info: Info) -> Exit | None:
    """How it ended; None where it was never started."""
    if not info["start"]:
        return None
    lifetime = max(0.0, float(info["stop"] - info["start"]))  # one that could not be spawned has no stop of its own
    ended_at = info["stop"] if info["stop"] >= info["start"] else info["start"]
    return Exit(max(0.0, float(info["now"] - ended_at)), lifetime, _cause(info))


def _cause(info: Info) -> ExitCause:
    spawnerr, status = str(info["spawnerr"]), info["exitstatus"]
    if info["state"] == FATAL:
        return ExitCause(ExitKind.CRASH_LOOP, detail=f"given up by supervisord: {spawnerr or 'it does not stay up'}")
    if info["state"] == BACKOFF:
        return ExitCause(ExitKind.GONE, detail=spawnerr or "ended too quickly")
    if status < 0:
        return ExitCause(ExitKind.SIGNALLED, 0, "a signal, which supervisord does not tell")
    return ExitCause(ExitKind.EXITED, status)


def _state(info: Info) -> str:
    return f"{info.get('statename', info['state'])} {info['spawnerr']}".strip()
