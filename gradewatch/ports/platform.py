"""Where workers run: how they live and died, and restarting one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol, runtime_checkable

from gradewatch.model import (
    Action,
    CycleReport,
    Right,
    Target,
)
from gradewatch.ports.records import Leases


class WorkerControl(Protocol):
    """A platform: tells how workers live and died, and restarts one."""

    kind: str

    async def targets(self) -> Sequence[Target]:
        """Raises PlatformError when the platform does not answer."""
        ...

    async def restart(self, target: str, incarnation: str) -> str:
        """Restart that incarnation of the target and return the new one's identity. Raises Conflict when the
        target is no longer that incarnation, NotNow when the platform asks to wait, PlatformError when it refused."""
        ...

    def on_event(self, wake: Callable[[], None]) -> None:
        """Call `wake` early when something changed; losing such a call costs latency, never correctness."""
        ...


class RescueControl(Protocol):
    """Runs a worker of our own, supervised, for queues whose workers are gone."""

    async def add(self, queue: str) -> None:
        """Have it work this queue, too. Raises PlatformError when no process can be started."""
        ...

    def release(self, queues: Collection[str] | None = None) -> None:
        """Have it leave these queues (None: all), and drain, in the background."""
        ...


# What a platform may give beside that; each is asked for by isinstance.


@runtime_checkable
class Managed(Protocol):
    """A platform with connections or tasks of its own."""

    async def open(self) -> None:
        """Returns at once: one that does not answer yet is tried again and again."""
        ...

    async def close(self) -> None: ...


@runtime_checkable
class KeepsLeases(Protocol):
    """A platform that keeps the lease of the acting watch, in place of the store."""

    @property
    def leases(self) -> Leases: ...


@runtime_checkable
class HearsReports(Protocol):
    """A platform where people look for the story of a worker."""

    def hear(self, report: CycleReport) -> None:
        """Called on the event loop with every report; quick, and never raises."""
        ...


@runtime_checkable
class PassesOnWhy(Protocol):
    """A platform whose other side is told why a worker is restarted."""

    async def restart_for(self, action: Action) -> str:
        """As `restart`, of the action's target and incarnation."""
        ...


@runtime_checkable
class ChecksRights(Protocol):
    """A platform that gives rights, and says which of them we have."""

    async def rights(self) -> Sequence[Right]:
        """Every right that is needed. Raises PlatformError when that cannot be asked."""
        ...
