"""One job in the foreground, by hand: `gradewatch jobs run`. The worker is a real one; only its claims are not."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

from gradewatch.app.stores import opened
from gradewatch.app.working import drained_by, grading_handlers, make_worker, own_name
from gradewatch.config import Settings
from gradewatch.errors import Conflict, NotFound
from gradewatch.metrics.worker import WorkerMetrics
from gradewatch.model import Job, JobState
from gradewatch.ports import Store
from gradewatch.probes.environment import chosen
from gradewatch.worker.observer import Observer


async def run_job(
    settings: Settings, job_id: str, *, environ: Mapping[str, str], stop: asyncio.Event, hurry: asyncio.Event
) -> None:
    """Claim that job and run it to the end of this one attempt; `stop` gives it back after `worker.drain`, `hurry` at
    once. Its session does not count as a worker of the queue. Raises NotFound, Conflict where it is not pending or not
    of a kind that is known here, and the store's errors."""
    metrics = WorkerMetrics(providers=chosen(environ, settings.worker.ocr, settings.worker.grading))
    done = asyncio.Event()
    async with opened(settings) as store, AsyncExitStack() as closing:
        handlers = grading_handlers(settings, store, environ, metrics.providers, closing)
        job = await _wanted(store, job_id, handlers)
        only = _Only(store, job_id, done)
        worker = make_worker(
            settings,
            only,
            handlers,
            name=f"by-hand-{own_name()}",
            queues=[job.queue],
            observer=_Tell(done),
            rescue=True,
        )
        async with drained_by(worker, done), drained_by(worker, stop, hurry):
            await worker.run()
    if only.refusal is not None:
        raise only.refusal


async def _wanted(store: Store, job_id: str, kinds: Collection[str]) -> Job:
    job = await store.job(job_id)
    if job is None:
        raise NotFound(f"There is no job {job_id}: check the id, or it was purged after its retention time.")
    if job.state is not JobState.PENDING:
        held = f" by session {job.session_id}" if job.state is JobState.RUNNING else ""
        raise Conflict(
            f"Job {job_id} is {job.state.value}{held}: only a pending job can be run by hand. "
            f"To put it back into its queue first: gradewatch jobs requeue {job_id}"
        )
    if job.kind not in kinds:
        raise Conflict(
            f"Job {job_id} is of kind {job.kind!r}, and this version runs {', '.join(kinds)}: "
            "its own worker must run it."
        )
    return job


class _Only:
    """The store, with one job to be claimed, once."""

    def __init__(self, store: Store, job_id: str, done: asyncio.Event) -> None:
        self._store, self._job_id, self._done = store, job_id, done
        self._asked = False
        self.refusal: Conflict | NotFound | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def claim(self, session_id: str, queues: Sequence[str], kinds: Collection[str], limit: int) -> list[Job]:
        if self._asked:
            return []
        try:
            job = await self._store.claim_job(session_id, self._job_id)
        except (Conflict, NotFound) as refusal:
            self._asked, self.refusal = True, refusal
            self._done.set()
            return []
        self._asked = True
        return [job]


class _Tell(Observer):
    def __init__(self, done: asyncio.Event) -> None:
        self._done = done

    def on_job_done(self, kind: str, outcome: str, seconds: float) -> None:
        self._done.set()
