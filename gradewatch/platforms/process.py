"""The process platform: workers as supervised children of this process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from gradewatch.errors import Conflict, PlatformError
from gradewatch.model import ExitCause, ExitKind, Target
from gradewatch.platforms.cause import OomMark, cause_of, oom_counter
from gradewatch.platforms.child import Child, spawn_child
from gradewatch.platforms.identity import Identity
from gradewatch.platforms.output import OnLine
from gradewatch.platforms.place import Place

log = structlog.get_logger(__name__)

RESTART_GRACE = 2.0  # seconds that a worker to be restarted has after SIGTERM: it is believed to hang


@dataclass(frozen=True, slots=True)
class Stopped:
    """How a child left that was told to: `seconds` it took, whether it had to be `killed`, and its end; `cause` is
    None for one that outlived even SIGKILL."""

    name: str
    cause: ExitCause | None
    seconds: float
    killed: bool


class ProcessPlatform:
    """Starts one child for each name, sees at once how it ends, and starts it anew when told to.

    Each child is handed an Identity in its environment, to be taken by the worker with Identity.take() and written
    in its session: a Target's `incarnation` is that of its present child (of its last one, while none runs), and
    `ended_incarnations` those of its last 20 ended ones, newest last. Incarnations are unique for all time.

    A child that calls orphans.die_with_parent() ends with this process, even when that is killed.

    `command` is the argument vector, or gives it for a name; `env` is a child's whole environment, to which the
    variables of identity.py and orphans.py are added. `output` gets each line a child prints; without it, children
    write to our own stdout and stderr. `counter` finds the OOM counter file of a pid.
    """

    kind = "process"

    def __init__(
        self,
        command: Callable[[str], Sequence[str]] | Sequence[str],
        *,
        names: Sequence[str],
        queues: tuple[str, ...],
        env: Mapping[str, str],
        stop_timeout: float = 25.0,
        output: OnLine | None = None,
        counter: Callable[[int], Path | None] = oom_counter,
    ) -> None:
        self._command = command
        self._places = {name: Place(name) for name in names}
        self._queues = queues
        self._env = dict(env)
        self._stop_timeout = stop_timeout
        self._output = output
        self._counter = counter
        self._wakes: list[Callable[[], None]] = []
        self._watchers: set[asyncio.Task[None]] = set()

    # ---------------------------------------------------------------- WorkerControl

    async def targets(self) -> Sequence[Target]:
        return tuple(place.target(self._queues) for place in self._places.values())

    async def restart(self, target: str, incarnation: str) -> str:
        """End that incarnation if it still runs (RESTART_GRACE seconds after SIGTERM by SIGKILL) and start another.

        Raises Conflict when the target is no longer that incarnation, or is being stopped on purpose;
        PlatformError when there is no such target, it will not die, or no process can be started.
        """
        place = self._place(target)
        async with place.lock:
            self._check(place, incarnation)
            if place.child:
                log.info("ending worker to restart it", worker=target, pid=place.child.pid)
                await place.child.end(RESTART_GRACE)
                self._check(place, incarnation)
            return await self._spawn(place)

    def on_event(self, wake: Callable[[], None]) -> None:
        self._wakes.append(wake)

    # ---------------------------------------------------------------- the supervisor's own

    async def start(self) -> None:
        """Start every target that does not run, those stopped on purpose too.

        Raises PlatformError when not one could be started. Where some could, the others show as not running, which
        is for the watch to repair.
        """
        failures = [error for place in self._places.values() if (error := await self._start(place))]
        if failures and len(failures) == len(self._places):
            raise failures[0]

    async def stop(self) -> tuple[Stopped, ...]:
        """Stop all targets together: SIGTERM, then SIGKILL to whoever still runs after `stop_timeout` seconds.
        Tells of each child that ran. No target is restarted any more, until the next start()."""
        for place in self._places.values():
            place.wanted = False
        stopped = await asyncio.gather(*(self._stop(place) for place in self._places.values()))
        return tuple(one for one in stopped if one)

    async def stop_target(self, name: str) -> Stopped | None:
        """Stop one target in the same way, on purpose: the watch sees it as not wanted. None when it did not run.
        Raises PlatformError when there is no such target."""
        place = self._place(name)
        place.wanted = False
        return await self._stop(place)

    # ---------------------------------------------------------------- inside

    def _place(self, name: str) -> Place:
        if place := self._places.get(name):
            return place
        raise PlatformError(f"This process supervises no worker {name!r}, only: {', '.join(self._places)}")

    @staticmethod
    def _check(place: Place, incarnation: str) -> None:
        if not place.wanted:
            raise Conflict(f"Worker {place.name} was stopped on purpose; it is not restarted")
        if place.incarnation != incarnation:
            raise Conflict(
                f"Worker {place.name} is no longer {incarnation or 'without a process'}, but {place.incarnation}: "
                "somebody else restarted it"
            )

    async def _start(self, place: Place) -> PlatformError | None:
        async with place.lock:
            place.wanted = True
            try:
                if not place.child:
                    await self._spawn(place)
            except PlatformError as error:
                return error
            return None

    async def _spawn(self, place: Place) -> str:
        argv = self._command(place.name) if callable(self._command) else self._command
        identity = Identity.new(place.name)
        try:
            child = await spawn_child(identity, argv, self._env, self._output)
        except OSError as error:
            reason = f"could not be started: {argv[0]}: {error.strerror or error}"
            place.not_started(ExitCause(ExitKind.GONE, detail=reason))
            log.error("worker process could not be started", worker=place.name, program=argv[0], error=str(error))
            raise PlatformError(f"Worker {place.name} {reason}") from error
        child.oom = OomMark.now(self._counter(child.pid))
        place.began(child)
        watcher = asyncio.create_task(self._watch(place, child), name=f"watch {identity.incarnation}")
        self._watchers.add(watcher)
        watcher.add_done_callback(self._watchers.discard)
        log.info("worker process started", worker=place.name, pid=child.pid)
        return identity.incarnation

    async def _watch(self, place: Place, child: Child) -> None:
        """Wait for a child's end, record it, wake whoever waits for it, and clear away what it left behind."""
        returncode = await child.process.wait()
        oom = child.oom.rise() if child.oom and not child.killed else ""
        cause = cause_of(returncode, oom)
        if cause.kind is ExitKind.OOM_KILLED:
            self._explained(child.oom)
        lifetime = place.ended(child, cause)
        child.ended.set()
        level = log.info if not place.wanted else log.warning
        level("worker process ended", worker=place.name, pid=child.pid, cause=str(cause), lifetime=round(lifetime, 3))
        self._wake()
        child.kill_group()  # helpers that the worker had started would go on without it
        if child.pump:
            child.pump.finish()

    def _explained(self, mark: OomMark | None) -> None:
        """One OOM kill explains one end: it must not also explain a later SIGKILL of a child in the same cgroup."""
        for place in self._places.values():
            other = place.child.oom if place.child else None
            if mark and other and other is not mark and other.path == mark.path:
                other.kills += 1

    def _wake(self) -> None:
        for wake in self._wakes:
            try:
                wake()
            except Exception:  # the end is recorded and must still reach the other listeners
                log.exception("wake callback failed")

    async def _stop(self, place: Place) -> Stopped | None:
        began = time.monotonic()
        async with place.lock:
            child = place.child
            if child is None:
                return None
            try:
                await child.end(self._stop_timeout)
            except PlatformError as error:
                log.error("worker process does not end", worker=place.name, pid=child.pid, error=str(error))
                return Stopped(place.name, None, time.monotonic() - began, killed=True)
            return Stopped(place.name, place.last_exit, time.monotonic() - began, child.killed)
