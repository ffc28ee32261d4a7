"""What the tests of other applications' queues say often: a row, a look, a repair, what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from places import Place, in_its_words

from gradewatch.config import QueueSettings
from gradewatch.config.foreign import PRESETS
from gradewatch.model import (
    Action,
    ActionKind,
    AuditEntry,
    Code,
    ForeignFacts,
    JobError,
    JobRef,
    JobState,
    NewSession,
    Outcome,
    Result,
)
from gradewatch.stores.mapping import ForeignQueue, RoutedStore
from gradewatch.stores.sqlite import SqliteStore

PENDING, RUNNING = JobState.PENDING, JobState.RUNNING
SUCCEEDED, FAILED, CANCELLED = JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED
SWEEP = "sweep-1"


class There:
    """One queue, `jobs`, of another application, with the records of the watch in a file. Changes of its settings come
    before `open`, or with `again`."""

    def __init__(self, place: Place, folder: Path) -> None:
        self.place, self.folder = place, folder
        self.records = SqliteStore(folder / "records.db")
        self.mapping = PRESETS[place.preset].settings
        self.queue = QueueSettings(name="jobs", kinds=(), foreign=self.mapping)

    async def open(self) -> None:
        self.foreign = ForeignQueue(self.queue, self.place.table(self.mapping), self.records)
        self.store = RoutedStore(self.records, {"jobs": self.foreign}, owned=(), apart=True)
        await self.store.open()

    async def close(self) -> None:
        await self.store.close()

    async def again(self, *, records: SqliteStore | None = None, **mapping: Any) -> None:
        """A watch that starts anew, with other settings of the mapping."""
        await self.close()
        self.records = records or SqliteStore(self.folder / "records.db")
        self.mapping = replace(self.mapping, **mapping)
        self.queue = replace(self.queue, foreign=self.mapping)
        await self.open()

    # ---------------------------------------------------------------- rows

    def add(self, state: JobState | str = PENDING, **given: Any) -> Any:
        return self.place.add(in_its_words(self.place, {"state": state, **given}))

    def row(self, id: Any) -> dict[str, Any]:
        return self.place.row(id)

    def set(self, id: Any, **given: Any) -> None:
        self.place.set(id, in_its_words(self.place, given))

    def state(self, id: Any) -> JobState | None:
        return self.mapping.words.state(self.row(id)[self.mapping.fields.state])

    # ---------------------------------------------------------------- looks

    async def look(self) -> ForeignFacts:
        """What a cycle reads, in its order."""
        await self.store.check(["jobs"])
        await self.store.sessions()
        await self.store.stats("jobs")
        return await self.store.foreign("jobs")

    async def late(self, state: JobState = PENDING, age: float = 300.0, limit: int = 100) -> list[JobRef]:
        await self.store.sessions()
        return await self.store.overdue("jobs", state, age, kinds=self.queue.watched, limit=limit)

    async def one(self, state: JobState = PENDING, age: float = 300.0) -> JobRef:
        [ref] = await self.late(state, age)
        return ref

    async def audit(self) -> list[tuple[str, str, str]]:
        """(action, subject, outcome), the oldest first."""
        return [(e.action, e.subject, e.outcome.value) for e in reversed(await self.records.audit())]

    async def spent(self) -> dict[ActionKind, int]:
        control = await self.store.control(dict.fromkeys(ActionKind, 600.0))
        return {kind: count for (kind, queue), count in control.spent.items() if queue == "jobs" and count}

    async def worker(self, name: str) -> str:
        """A worker of the application that beats."""
        return await self.store.open_session(NewSession(name, ("jobs",), slots=1, host="h", pid=1, version=""))

    # ---------------------------------------------------------------- repairs

    async def repair(self, *actions: Action, sweep: str = SWEEP) -> list[Result]:
        return await self.store.repair(actions, sweep=sweep, by="watch-1")

    async def outcomes(self, *actions: Action, sweep: str = SWEEP) -> list[Outcome]:
        return [result.outcome for result in await self.repair(*actions, sweep=sweep)]

    async def undo(self, sweep: str = SWEEP) -> list[tuple[str, bool]]:
        back: Sequence[tuple[AuditEntry, bool]] = await self.store.undo(sweep, by="ana")
        return [(entry.subject, done) for entry, done in back]


def expire(job: JobRef) -> Action:
    error = JobError("schedule_to_start", "It waited too long.")
    return Action(ActionKind.EXPIRE, job.queue, Code.JOB_TIMED_OUT, "waited too long", job=job, error=error)


def requeue(job: JobRef) -> Action:
    return Action(ActionKind.REQUEUE, job.queue, Code.WORKER_NOT_RUNNING, "its worker is lost", job=job)


def fail(job: JobRef) -> Action:
    error = JobError("job_poison", "It killed its workers.")
    return Action(ActionKind.FAIL, job.queue, Code.JOB_POISON, "it killed its workers", job=job, error=error)
