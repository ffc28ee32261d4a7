"""What the worker knows of its way to the store: one log line when it breaks, one when it is back."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from gradewatch.errors import AccessDenied, Conflict, SchemaMismatch, StoreError
from gradewatch.worker.backoff import full_jitter

log = structlog.get_logger(__name__)

T = TypeVar("T")

BASE, CAP, FLOOR = 0.2, 5.0, 0.05  # seconds between tries while the store is unreachable
REFUSED_DELAY = 15.0  # seconds between tries when only a person can help

FIXES: dict[type[StoreError], tuple[str, str]] = {
    AccessDenied: (
        "store refused access",
        "give the worker's role, key or file owner the right to read and write the store",
    ),
    SchemaMismatch: ("store schema does not fit", "run `gradewatch migrate` with the version the workers run"),
}


class Outage:
    """Shared by all who call the store, whichever handle they use: an outage is told once, however many meet it.

    A *source* is one handle ("jobs", "heartbeat"); the outage is over once every source that failed has had an answer.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._down: dict[str, type[StoreError]] = {}
        self._since = 0.0

    @property
    def ongoing(self) -> bool:
        return bool(self._down)

    def failed(self, source: str, error: StoreError) -> None:
        """Note a failed call; logged when it is the first of its sort in this outage."""
        if type(error) not in self._down.values():
            self._tell(source, error)
        if not self._down:
            self._since = time.monotonic()
        self._down[source] = type(error)

    def _tell(self, source: str, error: StoreError) -> None:
        event, fix = FIXES.get(type(error), ("store unreachable", ""))
        fix = error.fix or fix
        if type(error) in FIXES:
            log.error(event, source=source, error=str(error), fix=fix)
        else:
            more = {"fix": fix} if fix else {}
            means = "running jobs go on, nothing new is claimed"
            log.warning(event, source=source, error=str(error), means=means, **more)

    def answered(self, source: str) -> None:
        """Note a call that got through."""
        if self._down.pop(source, None) is not None and not self._down:
            log.info("store back", seconds=round(time.monotonic() - self._since, 1))

    def delay(self, failures: int, error: StoreError) -> float:
        """Seconds to wait after the `failures`-th failure in a row of one caller."""
        if isinstance(error, AccessDenied | SchemaMismatch):
            return REFUSED_DELAY
        return full_jitter(failures, base=BASE, cap=CAP, rng=self._rng, floor=FLOOR)

    async def ride_out(self, source: str, call: Callable[[], Awaitable[T]]) -> T:
        """Call until the store answers, for as long as that takes: the caller bounds it by cancelling.

        Raises Conflict, which is an answer.
        """
        failures = 0
        while True:
            try:
                result = await call()
            except Conflict:
                self.answered(source)
                raise
            except StoreError as error:
                failures += 1
                self.failed(source, error)
                await asyncio.sleep(self.delay(failures, error))
            else:
                self.answered(source)
                return result
