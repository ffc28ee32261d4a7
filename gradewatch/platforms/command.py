"""Any platform that a command can restart, and perhaps a second one can look at."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from gradewatch.errors import Conflict, PlatformError
from gradewatch.model import Exit, ExitCause, ExitKind, Sight, Target
from gradewatch.platforms.ledger import Ledger, Sighting
from gradewatch.platforms.program import KEPT, Ran, environment, run
from gradewatch.platforms.unseen import Seen, Unseen

PLACEHOLDER = "{target}"
RUNNING, DOWN = 0, (1, 2, 3)  # exit codes of a status command, as the Linux Standard Base has them for `status`
LOOK = 4.0  # seconds a look may take at most: a probe has five of its own
WORDS = {"running", "wanted", "running_seconds", "incarnation", "pid", "exit_code", "reason", "no_restart"}


class CommandPlatform:
    """`restart` and `status` are argvs, in which {target} stands for the target's name. `passed` names variables that
    they are given beyond what is harmless. `age` is Unseen's."""

    kind = "command"

    def __init__(
        self,
        names: Sequence[str],
        *,
        queues: tuple[str, ...],
        restart: Sequence[str],
        environ: Mapping[str, str],
        status: Sequence[str] = (),
        passed: Collection[str] = (),
        timeout: float = 5.0,
        restart_timeout: float = 12.0,
        age: float = 0.0,
    ) -> None:
        self._names, self._restart, self._status = tuple(names), tuple(restart), tuple(status)
        self._env = environment(environ, passed)
        self._look, self._timeout = min(timeout, LOOK), restart_timeout
        self._unseen = {name: Unseen(name, queues, age=age) for name in names}
        self._ledger = Ledger(queues)

    async def targets(self) -> Sequence[Target]:
        found = await asyncio.gather(*(self._target(name) for name in self._names), return_exceptions=True)
        for one in found:
            if isinstance(one, BaseException):
                raise one
        return tuple(one for one in found if isinstance(one, Target))

    async def restart(self, target: str, incarnation: str) -> str:
        """Raises Conflict when the status command tells of another incarnation; PlatformError when it fails."""
        if target not in self._unseen:
            raise PlatformError(f"There is no target {target!r} here, only: {', '.join(self._names)}")
        now = await self._target(target)
        if now.incarnation != incarnation:
            raise Conflict(f"{target} is no longer {incarnation or 'nameless'}, but {now.incarnation or 'nameless'}")
        ran = await self._run(self._restart, target, self._timeout)
        if ran.code != 0:
            raise PlatformError(f"platform.restart for {target} ended with exit code {ran.code}: {ran.tail}")
        return self._unseen[target].restarted()

    def on_event(self, wake: Callable[[], None]) -> None:
        """Commands call nobody."""

    # ---------------------------------------------------------------- inside

    async def _run(self, argv: Sequence[str], target: str, timeout: float) -> Ran:
        return await run([part.replace(PLACEHOLDER, target) for part in argv], timeout=timeout, env=self._env)

    async def _target(self, name: str) -> Target:
        unseen = self._unseen[name]
        if not self._status:
            return unseen.target()
        told = _told(name, await self._run(self._status, name, self._look))
        running_seconds = told.get("running_seconds")
        sight = Sight.LIFE if told.get("incarnation") else Sight.NONE if running_seconds is None else Sight.PROCESS
        return self._ledger.target(
            _sighting(name, told, unseen.look(told["running"], told.get("incarnation", ""))), sight
        )


def _sighting(name: str, told: Mapping[str, Any], seen: Seen) -> Sighting:
    running = told["running"]
    age = float(told.get("running_seconds", seen.seconds if running else seen.lived))
    return Sighting(
        name,
        life=seen.life,
        incarnation=told.get("incarnation", ""),
        running=running,
        running_seconds=age if running else 0.0,
        pid=told.get("pid"),
        wanted=told.get("wanted", True),
        ended=None if running else Exit(seen.seconds, age, _cause(told)),
        no_restart=told.get("no_restart", ""),
    )


def _cause(told: Mapping[str, Any]) -> ExitCause:
    reason = told.get("reason", "")
    if "exit_code" in told and not reason:
        return ExitCause(ExitKind.EXITED, told["exit_code"])
    return ExitCause(ExitKind.GONE, told.get("exit_code", 0), reason or "not running, says its status command")


def _told(name: str, ran: Ran) -> dict[str, Any]:
    """What the status command says: JSON where it prints an object, else its exit code. Raises PlatformError."""
    if not ran.whole:
        raise PlatformError(f"platform.status for {name} printed more than {KEPT >> 10} KB: that is no status")
    if ran.out.lstrip().startswith("{"):
        return _checked(name, ran)
    if ran.code == RUNNING or ran.code in DOWN:
        return {"running": ran.code == RUNNING}
    raise PlatformError(
        f"platform.status for {name} ended with exit code {ran.code}, where 0 means running and 1, 2 or 3 not "
        f"running: {ran.tail}"
    )


def _checked(name: str, ran: Ran) -> dict[str, Any]:
    try:
        told = json.loads(ran.out)
    except (ValueError, RecursionError):
        told = None
    kinds: Mapping[str, type | tuple[type, ...]] = {
        "running": bool, "wanted": bool, "running_seconds": (int, float), "incarnation": str, "pid": int,
        "exit_code": int, "reason": str, "no_restart": str,
    }  # fmt: skip
    if isinstance(told, dict) and isinstance(told.get("running"), bool) and told.keys() <= WORDS:
        wrong = [key for key, value in told.items() if not _is(value, kinds[key])]
        if not wrong:
            return told
        raise PlatformError(f"platform.status for {name}: {wrong[0]} is not what is needed; see docs/platforms.md")
    raise PlatformError(
        f'platform.status for {name} printed no JSON object with "running" true or false and, of these only, '
        f"{', '.join(sorted(WORDS - {'running'}))}: {ran.tail}"
    )


def _is(value: object, kind: type | tuple[type, ...]) -> bool:
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
