"""systemd: units seen by `systemctl show` and restarted by `systemctl restart`. An incarnation is systemd's own
InvocationID, which every process of the unit has in its environment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

from gradewatch.errors import Conflict, PlatformError
from gradewatch.model import Sight, Target
from gradewatch.platforms import units
from gradewatch.platforms.ledger import Ledger
from gradewatch.platforms.program import Ran, environment, run

APPEAR = 8.0  # seconds for the new process to be seen: a job that takes longer goes on without us
LOOKS = 4.0  # seconds one call may take at most: a probe has five
LOOK = 0.25  # seconds between two looks meanwhile
NO_SYSTEMD = ("not been booted with systemd", "Failed to connect to bus", "Failed to get D-Bus connection")
DENIED = ("Access denied", "Interactive authentication required", "Permission denied", "not authorized")


class SystemdPlatform:
    kind = "systemd"

    def __init__(
        self,
        names: Sequence[str],
        *,
        queues: tuple[str, ...],
        environ: Mapping[str, str],
        user: bool = False,
        timeout: float = 5.0,
    ) -> None:
        self._names = tuple(name if "." in name else f"{name}.service" for name in names)
        self._argv = ("systemctl", *(["--user"] if user else []), "--no-pager", "--no-ask-password")
        self._env = {**environment(environ), "LC_ALL": "C", "SYSTEMD_COLORS": "0"}
        self._user, self._timeout = user, min(timeout, LOOKS)
        self._ledger = Ledger(queues)

    async def targets(self) -> Sequence[Target]:
        shown = await self._show(self._names)
        now = time.monotonic()
        return tuple(self._ledger.target(units.sighting(name, unit, now), Sight.LIFE) for name, unit in shown.items())

    async def restart(self, target: str, incarnation: str) -> str:
        """Queue the restart with systemd and see it come, for a while: its job goes on by itself. Raises Conflict,
        PlatformError."""
        unit = (await self._show((target,)))[target]
        seen = units.sighting(target, unit, time.monotonic())
        if not seen.wanted:
            raise Conflict(f"{target} was stopped on purpose, or is being stopped; it is not restarted")
        if seen.incarnation != incarnation:
            raise Conflict(f"{target} is no longer {incarnation}, but {seen.incarnation}: it was restarted meanwhile")
        if unit["Result"] == "start-limit-hit":
            await self._do("reset-failed", target)  # or systemd would not start it at all
        await self._do("restart", "--no-block", target)
        return await self._new_life(target, incarnation)

    def on_event(self, wake: Callable[[], None]) -> None:
        """Its bus is not listened to: this platform is looked at."""

    # ---------------------------------------------------------------- inside

    async def _new_life(self, target: str, old: str) -> str:
        deadline = time.monotonic() + APPEAR
        while True:
            unit = (await self._show((target,)))[target]
            if unit.get("InvocationID") and unit["InvocationID"] != old and unit["ActiveState"] != "deactivating":
                return unit["InvocationID"]
            if time.monotonic() >= deadline:
                return f"restart of {target} queued; it is still {unit['ActiveState']} ({unit['SubState']})"
            await asyncio.sleep(LOOK)

    async def _show(self, names: Sequence[str]) -> Mapping[str, units.Unit]:
        ran = await self._run("show", f"--property={','.join(units.PROPERTIES)}", "--", *names)
        return units.matched(names, units.parse(ran.out))

    async def _do(self, verb: str, *arguments: str) -> None:
        await self._run(verb, *arguments)

    async def _run(self, verb: str, *arguments: str) -> Ran:
        ran = await run([*self._argv, verb, *arguments], timeout=self._timeout, env=self._env)
        if ran.code == 0:
            return ran
        raise PlatformError(f"systemctl {verb} failed ({ran.code}): {ran.tail}{self._hint(ran.err)}")

    def _hint(self, err: str) -> str:
        if any(words in err for words in DENIED):
            return ". Let this user manage the unit by a polkit rule, as docs/platforms.md shows, or run a user service"
        if any(words in err for words in NO_SYSTEMD):
            other = "platform.user = false" if self._user else "platform.user = true"
            return f". There is no such systemd to talk to here: for the other one, set {other}"
        return ""
