"""The context a handler gets: its writes carry the claim's token, and outlast an outage of the store.

Progress is coalesced. Checkpoints are written at once; while the store is away they wait in a bounded outbox, and a
handler that fills it waits with them.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Protocol

from gradewatch.config import WorkerSettings
from gradewatch.errors import Conflict, StoreError
from gradewatch.model import Job, PaperRef, PaperResult
from gradewatch.ports import JobReader, JobWriter, Papers
from gradewatch.worker.observer import Observer
from gradewatch.worker.outage import Outage
from gradewatch.worker.slots import Running

PROGRESS_INTERVAL = 0.5  # seconds between two progress writes of one job
MAX_UNSAVED = 64  # papers of one job held in memory during an outage

SOURCE = "jobs"
PAPERS = "papers"  # another source than the jobs: a paper that is there does not mean that the database is


class JobStore(JobReader, JobWriter, Papers, Protocol):
    """The part of a store a job may touch."""


class FencedContext:
    """Implements `JobContext` for one claim. Its writes raise Conflict once the claim is lost."""

    def __init__(
        self, store: JobStore, running: Running, settings: WorkerSettings, outage: Outage, observer: Observer
    ) -> None:
        self._store = store
        self._running = running
        self._settings = settings
        self._outage = outage
        self._observer = observer
        self._progress: tuple[int, int, str] | None = None  # to be written
        self._told = (0, 0, "")
        self._why = ""  # what the job waits for, shown in place of its message
        self._waited = 0.0
        self._credited = 0.0
        self._next_progress = 0.0
        self._papers: deque[PaperResult] = deque()
        self._writing = asyncio.Lock()  # keeps the writes of concurrent callers in order
        self._later: asyncio.Task[None] | None = None
        self._failures = 0
        self._retry_after = 0.0

    @property
    def job(self) -> Job:
        return self._running.job

    @property
    def settings(self) -> WorkerSettings:
        return self._settings

    @property
    def _unwritten(self) -> bool:
        return bool(self._papers) or self._progress is not None

    async def progress(self, done: int, total: int, message: str = "") -> None:
        """Told to the store at once, or within PROGRESS_INTERVAL when the last one is too recent."""
        self._told = (done, total, message)
        await self._tell()

    async def waiting(self, why: str, seconds: float) -> None:
        """Shown and credited at once, or within PROGRESS_INTERVAL."""
        self._why, self._waited = why, seconds
        await self._tell()

    async def _tell(self) -> None:
        done, total, message = self._told
        self._progress = (done, total, self._why or message)
        if time.monotonic() >= self._next_progress:
            await self._write()
        else:
            self._refuse_if_lost()
            self._write_later()

    async def save_paper(self, result: PaperResult) -> None:
        """Written when this returns, unless the store is away: then it is in the outbox.

        Raises TypeError or ValueError for a detail that JSON cannot hold.
        """
        json.dumps(dict(result.detail), allow_nan=False)  # told to whom it concerns, even when it is written later
        self._papers.append(result)
        await self._write()
        while len(self._papers) >= MAX_UNSAVED:
            await asyncio.sleep(self._retry_after)
            await self._write()

    async def saved_papers(self) -> list[PaperResult]:
        """What earlier attempts checkpointed. Waits for the store if it is away."""
        self._refuse_if_lost()
        return await self._outage.ride_out(SOURCE, lambda: self._store.papers(self.job.id))

    @asynccontextmanager
    async def paper(self, ref: PaperRef) -> AsyncIterator[Path]:
        """The paper as a local file. Waits for the store if it is away. PaperError when it is not there."""
        self._refuse_if_lost()
        async with AsyncExitStack() as stack:
            yield await self._outage.ride_out(PAPERS, lambda: stack.enter_async_context(self._store.paper(ref)))

    async def settle(self) -> None:
        """Return once nothing is left to write. Raises Conflict when the claim is lost meanwhile."""
        while self._unwritten:
            if not await self._write():
                await asyncio.sleep(self._retry_after)

    def close(self) -> None:
        """Stop writing. What is left is dropped: call it after `settle`, or when the claim is lost."""
        if self._later is not None:
            self._later.cancel()

    async def _write(self) -> bool:
        """One try to write all there is; False when the store is away, and then it is tried again in the background."""
        try:
            async with self._writing:
                self._refuse_if_lost()
                if not self._unwritten:
                    return True
                await self._write_papers()
                await self._write_progress()
        except Conflict as conflict:
            self._running.lose(str(conflict))
            raise
        except StoreError as error:
            self._failures += 1
            self._outage.failed(SOURCE, error)
            self._retry_after = self._outage.delay(self._failures, error)
            self._write_later()
            return False
        self._failures = 0
        self._outage.answered(SOURCE)
        return True

    async def _write_papers(self) -> None:
        while self._papers:
            await self._store.save_paper(self._running.claim, self._papers[0])
            self._observer.on_paper_saved(self._papers.popleft().status)

    async def _write_progress(self) -> None:
        if self._progress is not None:
            told, waited = self._progress, self._waited
            self._next_progress = time.monotonic() + PROGRESS_INTERVAL
            if waited > self._credited:
                await self._store.credit_wait(self._running.claim, waited)
                self._credited = waited
            await self._store.progress(self._running.claim, *told)
            if self._progress is told:
                self._progress = None

    def _write_later(self) -> None:
        if self._later is None or self._later.done():
            self._later = asyncio.create_task(self._write_in_background())

    async def _write_in_background(self) -> None:
        while self._unwritten:
            due = self._retry_after if self._failures else self._next_progress - time.monotonic()
            await asyncio.sleep(max(0.0, due))
            try:
                await self._write()
            except Conflict:
                return  # the job has been told to stop, and says so itself

    def _refuse_if_lost(self) -> None:
        if self._running.lost:
            raise Conflict(f"job {self.job.id} was taken back: {self._running.lost}")
