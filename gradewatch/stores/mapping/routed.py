"""One store over two kinds of queues: ours, in the records' store, and those of another application, in its database.

Sessions, audit trail, leases and control are always the records'. Where the records lie in another place than the
foreign rows, times of the records are told in the rows' clock, which is the one that ages go by.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from gradewatch.errors import PayloadError
from gradewatch.model import (
    Action,
    ActionKind,
    AuditEntry,
    ControlFacts,
    Credit,
    ForeignFacts,
    Job,
    JobRef,
    JobState,
    NewJob,
    QueueStats,
    Result,
    Session,
    StoreFacts,
)
from gradewatch.ports import Store, Verb
from gradewatch.stores.mapping import liveness, shifting
from gradewatch.stores.mapping.queue import ForeignQueue
from gradewatch.stores.mapping.repairing import Repairing

PAGE = 200  # rows of a records' page when lists are merged


class RoutedStore:
    """See ports.Store for what each method promises. `apart`: the records are not in the database of the rows."""

    def __init__(
        self, records: Store, queues: Mapping[str, ForeignQueue], *, owned: Sequence[str], apart: bool
    ) -> None:
        self._records, self._foreign, self._owned = records, dict(queues), tuple(owned)
        self._repairing = {name: Repairing(queue, records) for name, queue in self._foreign.items()}
        self._apart, self._ahead = apart, timedelta()  # how far the rows' clock is ahead of the records'
        self.kind = next(iter(self._foreign.values())).table.kind

    def __getattr__(self, name: str) -> Any:
        """Whatever concerns no foreign queue is the records' own business."""
        return getattr(self._records, name)

    async def open(self) -> None:
        if self._apart:
            await self._records.migrate()  # a file of ours, made by whoever first needs it
        await self._records.open()

    async def close(self) -> None:
        for queue in self._foreign.values():
            await queue.table.close()
        await self._records.close()

    # ---------------------------------------------------------------- JobReader

    async def check(self, queues: Sequence[str]) -> StoreFacts:
        """Of the rows' database, whose clock counts; the records must be there as well."""
        records = await self._records.check([q for q in queues if q not in self._foreign])
        checked = [await self._foreign[name].check() for name in queues if name in self._foreign]
        if not checked:
            checked = [replace(await next(iter(self._foreign.values())).check(), session_ever={})]
        if self._apart:
            self._ahead = checked[0].now - records.now
            for queue in self._foreign.values():
                queue.past.ahead = self._ahead
        return replace(
            checked[0],
            missing_indexes=(*records.missing_indexes, *(name for facts in checked for name in facts.missing_indexes)),
            session_ever={
                **records.session_ever,
                **{name: ever for facts in checked for name, ever in facts.session_ever.items()},
            },
        )

    async def stats(self, queue: str) -> QueueStats:
        return await (self._foreign[queue].stats() if queue in self._foreign else self._records.stats(queue))

    async def overdue(
        self, queue: str, state: JobState, age: float, *, kinds: Collection[str] | None, limit: int
    ) -> list[JobRef]:
        if queue in self._foreign:
            return await self._foreign[queue].overdue(state, age, kinds, limit)
        return await self._records.overdue(queue, state, age, kinds=kinds, limit=limit)

    async def held(
        self, queue: str, absent: Collection[str], *, kinds: Collection[str] | None, limit: int
    ) -> list[JobRef]:
        if queue in self._foreign:
            return await self._foreign[queue].held(absent, kinds, limit)
        return await self._records.held(queue, absent, kinds=kinds, limit=limit)

    async def foreign(self, queue: str) -> ForeignFacts:
        return await self._foreign[queue].foreign()

    async def sessions(self) -> list[Session]:
        own = [shifting.session(session, self._ahead) for session in await self._records.sessions()]
        found = list(own)
        for queue in self._foreign.values():
            found += await queue.sessions(own)
        return found

    async def job(self, job_id: str) -> Job | None:
        for queue in self._foreign.values():
            if job := await queue.job(job_id):
                return job
        return await self._records.job(job_id)

    async def jobs(
        self, *, queue: str | None = None, state: JobState | None = None, limit: int = 50, before: str | None = None
    ) -> list[Job]:
        """Newest first, of all queues that are meant. A page follows on the job named in `before`, whoever's it is."""
        if queue is not None and queue not in self._foreign:
            return await self._records.jobs(queue=queue, state=state, limit=limit, before=before)
        last = await self.job(before) if before is not None else None
        if before is not None and last is None:
            return []
        until = last.created_at if last else None
        meant = [self._foreign[queue]] if queue is not None else list(self._foreign.values())
        found = [job for one in meant for job in await one.jobs(state, limit, last)]
        if queue is None and self._owned:
            ours = await self._records.jobs(state=state, limit=limit)
            while until and ours and ours[-1].created_at >= until:
                ours = await self._records.jobs(state=state, limit=limit, before=ours[-1].id)
            found += [job for job in ours if until is None or job.created_at < until]
        return sorted(found, key=lambda job: (job.created_at, job.id), reverse=True)[:limit]

    # ---------------------------------------------------------------- JobWriter

    async def submit(self, jobs: Sequence[NewJob]) -> list[str]:
        for job in jobs:
            if job.queue in self._foreign:
                raise PayloadError(f"{job.queue} is a queue of another application: submit its jobs there.")
        return await self._records.submit(jobs)

    async def repair(self, actions: Sequence[Action], *, sweep: str, by: str) -> list[Result]:
        results: dict[int, Result] = {}
        for name in dict.fromkeys(action.queue for action in actions):
            places = [place for place, action in enumerate(actions) if action.queue == name]
            writer = self._repairing.get(name) or self._records
            answers = await writer.repair([actions[place] for place in places], sweep=sweep, by=by)
            results |= dict(zip(places, answers, strict=True))
        return [results[place] for place in range(len(actions))]

    async def operate(
        self, job_id: str, verb: Verb, *, by: str, sweep: str, message: str, seen: tuple[JobState, int] | None = None
    ) -> Job:
        for name, queue in self._foreign.items():
            if await queue.job(job_id):
                return await self._repairing[name].operate(job_id, verb, by=by, sweep=sweep, message=message, seen=seen)
        return await self._records.operate(job_id, verb, by=by, sweep=sweep, message=message, seen=seen)

    async def end_session(self, session_id: str, reason: str, *, beats: int | None = None) -> bool:
        """The session that stands for a running job has no row: it ends when the job is repaired, and must be as silent
        as it was read."""
        if (found := liveness.parse(session_id)) is None:
            return await self._records.end_session(session_id, reason, beats=beats)
        queue, job_id = found
        return beats is None or await self._foreign[queue].still_silent(job_id, beats)

    # ---------------------------------------------------------------- AuditLog and Control

    async def undo(self, sweep: str, *, by: str) -> list[tuple[AuditEntry, bool]]:
        back: list[tuple[AuditEntry, bool]] = []
        for repairing in self._repairing.values():
            back += await repairing.undo(sweep, by=by)
        ours = [one for one in await self._records.undo(sweep, by=by) if one[0].queue not in self._foreign]
        return [*back, *ours]

    async def control(self, windows: Mapping[ActionKind, float]) -> ControlFacts:
        return shifting.control(await self._records.control(windows), self._ahead)

    async def add_credit(self, credit: Credit) -> None:
        await self._records.add_credit(shifting.credit(credit, -self._ahead))

    # ---------------------------------------------------------------- `migrate --indexes` and `migrate --guard`

    def index_statements(self) -> list[str]:
        return [text for queue in self._foreign.values() for text in queue.table.index_statements()]

    def guard_statements(self) -> list[str]:
        return [text for queue in self._foreign.values() if (text := queue.table.guard_statement())]

    async def make_guards(self) -> None:
        for queue in self._foreign.values():
            if queue.table.guard_statement():
                await queue.table.make_guard()

    async def make_indexes(self) -> list[str]:
        return [done for queue in self._foreign.values() for done in await queue.table.make_indexes()]
