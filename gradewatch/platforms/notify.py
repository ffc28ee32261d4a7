"""What a service tells systemd of itself: sd_notify(3), a datagram of Key=Value lines to NOTIFY_SOCKET."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, MutableMapping
from contextlib import asynccontextmanager

import structlog

log = structlog.get_logger(__name__)

SOCKET, WATCHDOG, WATCHDOG_PID = "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"
EACH = 5.0  # seconds between two looks at the status, where there is no watchdog to feed more often
SHARE = 3.0  # watchdog intervals: a sign of life each third of it; systemd advises half, and a loop may be late


class Notifier:
    """Sends what it can and never holds anybody up; a systemd that does not listen is told of once, in the log."""

    def __init__(self, address: str, watchdog: float | None) -> None:
        self.watchdog = watchdog  # seconds; None: systemd does not wait for signs of life
        self._address = "\0" + address[1:] if address.startswith("@") else address  # @: the abstract namespace
        self._socket: socket.socket | None = None
        self._complained = False

    @classmethod
    def take(cls, environ: MutableMapping[str, str] = os.environ) -> Notifier | None:
        """This process's, out of its environment: not for its children. None where systemd asks for nothing."""
        address = environ.pop(SOCKET, "")
        interval, pid = environ.pop(WATCHDOG, ""), environ.pop(WATCHDOG_PID, "")
        if not address.startswith(("/", "@")):
            return None
        ours = not pid or pid == str(os.getpid())
        watchdog = int(interval) / 1e6 if ours and interval.isdecimal() and int(interval) else None
        return cls(address, watchdog)

    def tell(self, **lines: str) -> None:
        """tell(READY="1", STATUS="…")"""
        text = "\n".join(f"{key}={' '.join(value.split())}" for key, value in lines.items())
        try:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                self._socket.setblocking(False)
            self._socket.sendto(text.encode(), self._address)
        except OSError as error:
            if not self._complained:
                log.warning("systemd cannot be told how this service is", error=error.strerror or str(error))
            self._complained = True

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


@asynccontextmanager
async def notifying(notifier: Notifier | None, status: Callable[[], str]) -> AsyncIterator[None]:
    """READY=1 now, STOPPING=1 at the end, and in between a sign of life from this event loop for as long as it turns:
    one that is stuck is silent, and systemd ends the process after WatchdogSec. The signs go on while it stops."""
    if notifier is None:
        yield
        return
    notifier.tell(READY="1", STATUS=status())
    feeding = asyncio.create_task(_feed(notifier, status), name="systemd-watchdog")
    try:
        yield
    finally:
        feeding.cancel()
        notifier.tell(STOPPING="1", STATUS="stopped")
        notifier.close()


async def _feed(notifier: Notifier, status: Callable[[], str]) -> None:
    pause = min(EACH, notifier.watchdog / SHARE) if notifier.watchdog else EACH
    last = ""
    while True:
        lines = {"WATCHDOG": "1"} if notifier.watchdog else {}
        if (now := status()) != last:
            lines["STATUS"] = last = now
        if lines:
            notifier.tell(**lines)
        await asyncio.sleep(pause)
