"""Writes how jobs ended, many in one transaction: while one batch is being written, the next one gathers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import islice

from gradewatch.model import Claimed, Finish
from gradewatch.ports import JobWriter
from gradewatch.worker.outage import Outage

MAX_BATCH = 500  # finishes in one transaction, so that no write holds the store for long

SOURCE = "jobs"


class Completer:
    """Holds what is finished and not yet written, for as long as the store is away.

    Its memory is bounded by its caller, who claims no more than there is `room` for: `put` never waits.
    """

    def __init__(
        self, store: JobWriter, outage: Outage, *, capacity: int, on_written: Callable[[Finish, bool], None]
    ) -> None:
        self._store = store
        self._outage = outage
        self._capacity = capacity
        self._on_written = on_written
        self._unwritten: dict[Claimed, Finish] = {}
        self._gathered = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._unwritten)

    def __contains__(self, claim: Claimed) -> bool:
        return claim in self._unwritten

    @property
    def room(self) -> int:
        return self._capacity - len(self._unwritten)

    def put(self, finish: Finish) -> None:
        """Have it written soon. One finish a claim: a second one is ignored."""
        self._unwritten.setdefault(finish.claim, finish)
        self._gathered.set()
        self._empty.clear()

    async def run(self) -> None:
        """Write batches until cancelled."""
        while True:
            await self._gathered.wait()
            self._gathered.clear()
            while self._unwritten:
                await self._write(list(islice(self._unwritten.values(), MAX_BATCH)))
            self._empty.set()

    async def _write(self, batch: list[Finish]) -> None:
        accepted = await self._outage.ride_out(SOURCE, lambda: self._store.finish(batch))
        for finish, ok in zip(batch, accepted, strict=True):
            del self._unwritten[finish.claim]
            self._on_written(finish, ok)

    async def flush(self) -> None:
        """Return once everything is written."""
        await self._empty.wait()
