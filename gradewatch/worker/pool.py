"""Runs claimed jobs as tasks in their slots, and hands what came of them to the completer."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from functools import partial

import structlog

from gradewatch.config import WorkerSettings
from gradewatch.model import Claimed, Finish, FinishKind, Job
from gradewatch.worker.attempt import attempt, failed
from gradewatch.worker.completer import Completer
from gradewatch.worker.context import Handler
from gradewatch.worker.fenced import FencedContext, JobStore
from gradewatch.worker.observer import Observer
from gradewatch.worker.outage import Outage
from gradewatch.worker.slots import Running, Slots

log = structlog.get_logger(__name__)

TAKEN_BACK = "taken_back"

OUTCOMES = {
    FinishKind.SUCCEED: "succeeded",
    FinishKind.FAIL: "failed",
    FinishKind.RETRY: "retried",
    FinishKind.RELEASE: "released",
}


class Pool:
    """Slots and completer together: a job occupies a slot while its handler runs, and room until its end is written."""

    def __init__(
        self,
        store: JobStore,
        handlers: Mapping[str, Handler],
        settings: WorkerSettings,
        outage: Outage,
        *,
        rng: random.Random,
        observer: Observer,
        freed: Callable[[], None],
    ) -> None:
        self.slots = Slots(settings.slots)
        self.completer = Completer(store, outage, capacity=2 * settings.slots, on_written=self._written)
        self._store = store
        self._handlers = handlers
        self._settings = settings
        self._outage = outage
        self._rng = rng
        self._observer = observer
        self._freed = freed
        self._ended: dict[Claimed, tuple[Running, float]] = {}

    @property
    def room(self) -> int:
        """How many more jobs may be claimed: never more than can be run now and kept if the store goes away."""
        return max(0, min(self.slots.free, self.completer.room - len(self.slots)))

    def knows(self, claim: Claimed) -> bool:
        return claim in self.slots or claim in self.completer

    def start(self, job: Job, session_id: str) -> None:
        running = Running(job, session_id)
        context = FencedContext(self._store, running, self._settings, self._outage, self._observer)
        self.slots.put(running)
        running.task = asyncio.create_task(attempt(running, self._handlers[job.kind], context, self._rng))
        running.task.add_done_callback(partial(self._attempted, running, context))

    def give_back(self, claim: Claimed) -> None:
        """Return a job that this worker will not run: pending at once, its attempt not charged."""
        self.completer.put(Finish(claim, FinishKind.RELEASE))

    def cancel(self) -> None:
        """Tell every running job to stop; each goes back uncharged."""
        for running in self.slots:
            running.cancel()

    def abandon(self) -> None:
        """Give back the jobs that did not stop when told to; whatever they still do is fenced off."""
        for running in self.slots:
            self.slots.leave(running)
            running.lost = running.lost or "the worker is stopping"
            self._end(running, Finish(running.claim, FinishKind.RELEASE))

    async def ended(self) -> None:
        """Return once no job runs."""
        while tasks := [running.task for running in self.slots if running.task is not None]:
            await asyncio.wait(tasks)

    def _attempted(self, running: Running, context: FencedContext, task: asyncio.Task[Finish | None]) -> None:
        context.close()
        if not self.slots.leave(running):
            return  # abandoned, and already given back
        finish = self._how(running, task)
        if finish is None or running.lost:
            self._taken_back(running, running.lost, running.seconds)
        else:
            self._end(running, finish)
        self._freed()

    def _how(self, running: Running, task: asyncio.Task[Finish | None]) -> Finish | None:
        if task.cancelled():
            return Finish(running.claim, FinishKind.RELEASE)
        error = task.exception()
        return task.result() if error is None else failed(running, error, self._rng)

    def _end(self, running: Running, finish: Finish) -> None:
        self._ended[running.claim] = (running, running.seconds)
        self.completer.put(finish)

    def _written(self, finish: Finish, accepted: bool) -> None:
        running, seconds = self._ended.pop(finish.claim, (None, 0.0))
        if running is None:
            log.info("job released", job=finish.claim.id, token=finish.claim.token, accepted=accepted)
        elif not accepted:
            self._taken_back(running, "its claim was no longer held when its end was written", seconds)
        else:
            if finish.kind is FinishKind.SUCCEED:
                log.info("job finished", **running.ids, seconds=seconds)
            elif finish.kind is FinishKind.RELEASE:
                log.info("job released", **running.ids, seconds=seconds)
            self._observe(running, OUTCOMES[finish.kind], seconds)
        self._freed()

    def _taken_back(self, running: Running, why: str, seconds: float) -> None:
        log.warning("job taken back", **running.ids, seconds=seconds, why=why)
        self._observe(running, TAKEN_BACK, seconds)

    def _observe(self, running: Running, outcome: str, seconds: float) -> None:
        self._observer.on_job_done(running.job.kind, outcome, seconds)
