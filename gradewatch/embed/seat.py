"""Which of an application's processes runs the worker: all of them, one on each host, or one in all."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from typing import Protocol

from gradewatch.clock import SystemClock
from gradewatch.ports import Leases
from gradewatch.remediation.lease import ActingLease

TICK = 0.2  # seconds between two looks at whether the lease still holds
STAND_BY = 5  # tries in one term to take a lease that another process holds


class Seat(Protocol):
    async def taken(self) -> None:
        """Return once this process is the one that runs the worker."""
        ...

    async def lost(self) -> None:
        """Return once it no longer is: then the worker must have stopped within `margin` seconds."""
        ...

    async def leave(self) -> None: ...

    @property
    def margin(self) -> float: ...


class OwnSeat:
    """Every process has one."""

    margin = float("inf")

    async def taken(self) -> None:
        return

    async def lost(self) -> None:
        await asyncio.Event().wait()

    async def leave(self) -> None:
        return


class LeasedSeat:
    """One for all who share `name`. The last third of its term is margin, as with the watch's: a worker that cannot
    renew is stopped before another process may start one."""

    def __init__(self, leases: Leases, name: str, ttl: float) -> None:
        holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
        self.margin = ttl / 3
        self._ttl = ttl
        self._lease = ActingLease(leases, holder, ttl, SystemClock(), name=name, who="process")
        self._renewing: asyncio.Task[None] | None = None

    async def taken(self) -> None:
        await self._stop_renewing()
        while True:
            if await self._lease.keep():
                break
            await asyncio.sleep(self._ttl / STAND_BY)
        self._renewing = asyncio.create_task(self._renew(), name=f"renew {self._lease.name}")

    async def lost(self) -> None:
        while True:
            if not self._lease.held:
                return
            await asyncio.sleep(TICK)

    async def leave(self) -> None:
        await self._stop_renewing()
        await self._lease.release()

    async def _renew(self) -> None:
        while True:
            if not await self._lease.keep():
                return
            await asyncio.sleep(min(1.0, self._ttl / 10))

    async def _stop_renewing(self) -> None:
        renewing, self._renewing = self._renewing, None
        if renewing is not None:
            renewing.cancel()
            await asyncio.wait({renewing})


def lease_name(scope: str, worker: str) -> str:
    """The lease by which a pod, or a whole deployment, elects the process that runs this worker."""
    host = f"@{socket.gethostname()}" if scope == "pod" else ""
    return f"embed:{worker}{host}"


def make_seat(scope: str, worker: str, leases: Leases, ttl: float) -> Seat:
    """The seat of that scope: "process", "pod" or "deployment"."""
    return OwnSeat() if scope == "process" else LeasedSeat(leases, lease_name(scope, worker), ttl)
