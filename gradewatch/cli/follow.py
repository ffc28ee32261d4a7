"""Following one job to its end, and saying why when nothing moves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from gradewatch.cli.progress import Display, display
from gradewatch.errors import NotFound, StoreUnavailable
from gradewatch.model import Job, PaperResult

if TYPE_CHECKING:
    from gradewatch.config import Settings
    from gradewatch.ports import Store

POLL = 0.25  # seconds between two looks at the job
STILL = 5.0  # seconds without any progress after which the cause is looked for, and looked for again


async def follow(settings: Settings, job_id: str, environ: Mapping[str, str]) -> tuple[Job, list[PaperResult]]:
    """Show the job's progress until it is finished; returns it with its papers. An outage of the store is sat out.
    Raises NotFound when the job is gone, and the other store errors."""
    from gradewatch.app import opened

    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(opened(settings))
        shown = stack.enter_context(display())
        return await _Follower(store, settings, environ, shown).to_the_end(job_id)


class _Follower:
    def __init__(self, store: Store, settings: Settings, environ: Mapping[str, str], shown: Display) -> None:
        self._store, self._settings, self._environ, self._shown = store, settings, environ, shown
        self._mark: object = None
        self._moved = time.monotonic()
        self._said = ""

    async def to_the_end(self, job_id: str) -> tuple[Job, list[PaperResult]]:
        while True:
            try:
                job = await self._store.job(job_id)
                if job is None:
                    raise NotFound(f"Job {job_id} is gone: it was purged while it was waited for.")
                self._shown.update(job)
                if job.state.finished:
                    return job, await self._store.papers(job_id)
                await self._explain_stillness(job)
            except StoreUnavailable as error:
                self._say(f"The store does not answer, still waiting: {error}")
            await asyncio.sleep(POLL)

    async def _explain_stillness(self, job: Job) -> None:
        mark, now = (job.state, job.token, job.progress_done), time.monotonic()
        if mark != self._mark:
            self._mark, self._moved = mark, now
        elif now - self._moved >= STILL:
            self._moved = now
            await self._explain(job)

    async def _explain(self, job: Job) -> None:
        from gradewatch.app import look

        report = await look(self._settings, environ=self._environ)
        for finding in report.diagnosis.findings:
            if finding.queue in (None, job.queue):
                self._say(f"{finding.summary}. {finding.fix}")
                return

    def _say(self, text: str) -> None:
        """Say it once, not at every look."""
        if text != self._said:
            self._said = text
            self._shown.say(text)
