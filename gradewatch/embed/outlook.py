"""What one process of an application shows of the queue: health, status, metrics. Free of any framework.

The store is asked at most once a second, whoever asks, and each question has a deadline.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import NoReturn

from gradewatch.app import Looker
from gradewatch.config import Settings
from gradewatch.errors import StoreError, StoreUnavailable
from gradewatch.http.shared import Shared
from gradewatch.http.status import Status, StatusReader, worker_status
from gradewatch.http.verdict import life, stuck
from gradewatch.http.wire import encode
from gradewatch.metrics.looks import LookMetrics
from gradewatch.metrics.worker import WorkerMetrics
from gradewatch.model import CycleReport, Job, JobRef, JobState, StoreFacts, Unknown

TTL = 1.0  # seconds that an answer of the store is good for
READY_DEADLINE = 2.0
JSON = "application/json"
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
PATHS = ("/livez", "/readyz", "/metrics", "/api/worker_status")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a route answers, whatever serves it."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=lambda: dict(HEADERS))


class Outlook:
    """Belongs to one event loop, and opens nothing until it is asked. `own` gives the metrics of the worker in this
    process, where no other process of this application has one."""

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        *,
        own: Callable[[], WorkerMetrics | None] = lambda: None,
        mono: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._own, self._mono = settings, own, mono
        self._looker = Looker(settings, environ)
        self._metrics = LookMetrics(settings, store=self._looker.store.kind, mono=mono)
        patience, queues = settings.store.timeout + 1.0, list(settings.queues)
        self._look: Shared[CycleReport] = Shared(self._looker.look, ttl=TTL, deadline=patience, mono=mono)
        self._ready: Shared[StoreFacts] = Shared(
            lambda: self._looker.store.check(queues), ttl=TTL, deadline=READY_DEADLINE, mono=mono
        )
        self._status: Shared[Status] = Shared(self._asked_status, ttl=TTL, deadline=2 * patience, mono=mono)
        self._rendering = asyncio.Lock()
        self._ticked = mono()

    def tick(self) -> None:
        """The event loop's sign of life. Call it at least once a second."""
        self._ticked = self._mono()

    async def answer(self, path: str, accept: str = "") -> Answer:
        """The answer to a GET of one of PATHS. Never raises but for cancellation and a fault of ours."""
        match path:
            case "/livez":
                return self.livez()
            case "/readyz":
                return await self._readyz()
            case "/metrics":
                return await self._scraped(accept)
            case "/api/worker_status":
                status = await self._status.get()
                return Answer(status.code, status.body)
        return _json(404, {"error": {"code": "not_found", "message": f"there is no {path}"}})

    def livez(self) -> Answer:
        return _json(*life(stuck(self._mono() - self._ticked)))

    async def close(self) -> None:
        for shared in (self._status, self._look, self._ready):
            await shared.close()
        await self._looker.close()

    async def _readyz(self) -> Answer:
        try:
            await self._ready.get()
        except StoreError as error:
            return refusal(error)
        return _json(*life())

    async def _scraped(self, accept: str) -> Answer:
        report = await self._looked()
        async with self._rendering:  # in a thread: hundreds of queues take tens of milliseconds, and this loop serves
            body, content_type = await asyncio.to_thread(self._metrics.page, report, accept, self._own())
        return Answer(200, body, content_type)

    async def _asked_status(self) -> Status:
        report = await self._looked()
        reader: StatusReader = self._looker.store
        if report is None:
            reader = _Away("it did not answer in time")
        elif isinstance(report.snapshot.store, Unknown):
            reader = _Away(report.snapshot.store.reason)  # just asked: no second deadline for the same answer
        return await worker_status(self._looker.board, reader, self._settings)

    async def _looked(self) -> CycleReport | None:
        """A report at most TTL old; None where the store took too long over it."""
        try:
            return await self._look.get()
        except StoreUnavailable:
            return None


class _Away:
    """The store, known to be away."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def _refuse(self) -> NoReturn:
        raise StoreUnavailable(self._reason)

    async def job(self, job_id: str) -> Job | None:
        self._refuse()

    async def jobs(self, *, limit: int) -> list[Job]:
        self._refuse()

    async def overdue(
        self, queue: str, state: JobState, age: float, *, kinds: Collection[str] | None, limit: int
    ) -> list[JobRef]:
        self._refuse()


def refusal(error: StoreError) -> Answer:
    """The answer where the store cannot be used, as the watch gives it."""
    from gradewatch.http.problems import problem_of

    problem = problem_of(error)
    assert problem is not None, "every store error is known there"
    return Answer(problem.status, encode(problem.body()), JSON, {**HEADERS, **(problem.headers or {})})


def _json(status: int, body: Mapping[str, object]) -> Answer:
    return Answer(status, encode(body))


async def keep_ticking(outlook: Outlook, every: float = 0.5) -> None:
    while True:
        outlook.tick()
        await asyncio.sleep(every)
