"""A real store in a file, a real worker over it, and ways to wait for what they do."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gradewatch.config import WorkerSettings
from gradewatch.model import Action, ActionKind, Code, Job, JobError, JobRef, JobState, NewJob, Outcome, PaperResult
from gradewatch.stores.sqlite import SqliteStore
from gradewatch.worker.context import Handler, JobContext
from gradewatch.worker.observer import Observer
from gradewatch.worker.runtime import Worker

DEADLINE = 10.0  # seconds after which a test gives up waiting


async def until(condition: Callable[[], Any], what: str = "the condition", seconds: float = DEADLINE) -> Any:
    """Wait for a condition, sync or async, to become true; returns what it gave."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if isinstance(value, Awaitable):
            value = await value
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not come about within {seconds} s")
        await asyncio.sleep(0.01)


async def noop(context: JobContext) -> Mapping[str, Any]:
    return {}


def graded(index: int) -> PaperResult:
    return PaperResult(index, f"paper-{index}.pdf", "graded", 3.0, 5.0, {})


class Gate:
    """A handler that says it has begun and waits to be let on; it counts how it was left."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.cancelled: list[str] = []
        self.open = asyncio.Event()

    async def __call__(self, context: JobContext) -> Mapping[str, Any]:
        self.begun.append(context.job.id)
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled.append(context.job.id)
            raise
        return {"by": "gate"}


@dataclass
class Seen(Observer):
    """An observer that remembers."""

    done: list[tuple[str, str]] = field(default_factory=list)
    sessions: list[bool] = field(default_factory=list)
    papers: list[str] = field(default_factory=list)
    beats: int = 0

    def on_session(self, is_open: bool) -> None:
        self.sessions.append(is_open)

    def on_beat(self) -> None:
        self.beats += 1

    def on_paper_saved(self, status: str) -> None:
        self.papers.append(status)

    def on_job_done(self, kind: str, outcome: str, seconds: float) -> None:
        assert seconds >= 0
        self.done.append((kind, outcome))


class Bench:
    """One database file, one handle of the test's own, and workers over further handles."""

    def __init__(self, path: Path, store: SqliteStore) -> None:
        self.path = path
        self.store = store
        self.seen = Seen()
        self.running: asyncio.Task[None] | None = None  # the run of the last worker started

    async def handle(self) -> SqliteStore:
        return await opened(self.path)

    @asynccontextmanager
    async def worker(
        self,
        handlers: Mapping[str, Handler] | Handler = noop,
        *,
        slots: int = 4,
        poll: float = 0.2,
        drain: float = 5.0,
        heartbeat: float = 1.0,
        timeout: float = 5.0,
        store: type[SqliteStore] = SqliteStore,
        **more: Any,
    ) -> AsyncIterator[Worker]:
        """A worker that runs; drained at the end, and whatever it raised is raised here."""
        handle = store(self.path, timeout=timeout)
        await handle.open()
        worker = Worker(
            handle,
            more.pop("open_store", self.handle),
            name="worker-1",
            queues=["default"],
            handlers=handlers if isinstance(handlers, Mapping) else {"grade": handlers},
            settings=WorkerSettings(slots=slots, poll=poll, drain=drain),
            heartbeat_timeout=heartbeat,
            version="test",
            observer=self.seen,
            rng=random.Random(7),
            **more,
        )
        running = self.running = asyncio.create_task(worker.run())
        try:
            await until(lambda: worker.session_id or running.done(), "a session")
            yield worker
        finally:
            worker.request_drain()
            worker.request_drain()
            await asyncio.wait({running})
            await handle.close()
            if not running.cancelled():
                running.result()

    async def submit(self, count: int = 1, **fields: Any) -> list[str]:
        return await self.store.submit([NewJob(**{"kind": "grade", "payload": {}, **fields}) for _ in range(count)])

    async def job(self, job_id: str) -> Job:
        job = await self.store.job(job_id)
        assert job is not None
        return job

    async def beating(self) -> None:
        """Wait for the first beat: the heartbeat's thread is up, and its handle open."""

        async def beat() -> bool:
            return any(s.beats > 0 and s.ended_at is None for s in await self.store.sessions())

        await until(beat, "a beat")

    async def in_state(self, job_ids: Sequence[str], state: JobState) -> list[Job]:
        """Wait until all of them are in that state."""

        async def there() -> list[Job]:
            jobs = [await self.job(i) for i in job_ids]
            return jobs if all(j.state is state for j in jobs) else []

        found: list[Job] = await until(there, f"{len(job_ids)} job(s) {state.value}")
        return found

    async def repair(self, job_id: str, kind: ActionKind = ActionKind.REQUEUE, *, run_alone: bool = False) -> None:
        """What the watch does to a running job."""
        job = await self.job(job_id)
        error = None if kind is ActionKind.REQUEUE else JobError("job_timed_out", "It ran for too long.")
        reason = Code.WORKER_NOT_RUNNING
        action = Action(kind, job.queue, reason, "The worker is gone.", job=ref(job), error=error, run_alone=run_alone)
        [result] = await self.store.repair([action], sweep="sweep-1", by="test")
        assert result.outcome is Outcome.APPLIED, result


async def opened(path: Path) -> SqliteStore:
    store = SqliteStore(path)
    await store.open()
    return store


def ref(job: Job) -> JobRef:
    return JobRef(
        id=job.id,
        queue=job.queue,
        kind=job.kind,
        state=job.state,
        token=job.token,
        attempt=job.attempt,
        max_attempts=job.max_attempts,
        lost=job.lost,
        session_id=job.session_id,
        run_at=job.run_at,
        started_at=job.started_at,
    )
