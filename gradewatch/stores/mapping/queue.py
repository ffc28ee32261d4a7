"""One queue of another application: stats, late and lost jobs, and the guarded repair of its rows."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from gradewatch.config import QueueSettings
from gradewatch.config.foreign import ForeignSettings
from gradewatch.errors import StoreUnavailable
from gradewatch.model import ForeignFacts, Job, JobRef, JobState, QueueStats, Session, StoreFacts
from gradewatch.ports import RowNotes
from gradewatch.stores.mapping import liveness, shifting, twice
from gradewatch.stores.mapping.counts import FINISHERS, Tally
from gradewatch.stores.mapping.past import Past
from gradewatch.stores.mapping.reads import Reads
from gradewatch.stores.mapping.row import ForeignJob, job_ref, read_row, shown
from gradewatch.stores.mapping.table import ForeignTable

log = structlog.get_logger(__name__)

CAP = 10_000  # rows counted exactly; beyond it the depth is a floor
RUNNING = 2000  # running rows looked at in one cycle
TALLIED = 500  # newest rows looked at for arrivals and endings
STRANGE_EVERY = 12  # looks between two searches for rows that cannot be understood
SLOW = timedelta(seconds=5)  # a repair may be noted so long before the look that it is seen in
MOST_ENDINGS = 4 * TALLIED  # finished jobs remembered, to see whether somebody writes to them again
STRANGE = 20  # such rows told of at most


class ForeignQueue:
    """Reads understand rows through `ForeignSettings`; nothing here knows a driver. Raises store errors."""

    def __init__(self, settings: QueueSettings, table: ForeignTable, notes: RowNotes) -> None:
        assert settings.foreign is not None
        self.name, self.table = settings.name, table
        self.mapping: ForeignSettings = settings.foreign
        self.past = Past(self.name, notes)
        self.reads = Reads(self.mapping, table)
        self._kinds = settings.watched
        self._running: list[ForeignJob] = []
        self._holders: Mapping[str, twice.Holder] = {}
        self._twice: dict[str, str] = {}
        self._own: Sequence[Session] = ()
        self._strange: list[str] = []
        self._looks = 0
        self._tally = Tally()
        self._now: datetime | None = None
        self._looked: datetime | None = None  # when jobs were last looked at to see who runs them
        self._touched: frozenset[str] = frozenset()  # repaired by us between the last two looks
        self._finished: list[ForeignJob] = []
        self._endings: Mapping[str, twice.Ending] = {}

    async def check(self) -> StoreFacts:
        """Is the table there, ours to read, and fit to be asked? Raises SchemaMismatch, AccessDenied."""
        now, self.reads.shape = await asyncio.gather(self.table.now(), self.table.shape())
        self._now = now
        small = await self.table.count((), None, CAP) < CAP
        missing = () if small or self.mapping.fields.state in self.reads.shape.indexed else (self._wanted_index(),)
        offset = (now - datetime.now(now.tzinfo)).total_seconds()
        return StoreFacts(self.table.kind, now, offset, missing, {self.name: await self._ever_worked()})

    def _wanted_index(self) -> str:
        fields = self.mapping.fields
        return f"{self.mapping.table} ({fields.state}, {fields.created[0]}): run `gradewatch migrate --indexes`"

    async def _ever_worked(self) -> bool:
        if await self.reads.count(JobState.RUNNING, 1) or await self.reads.count(JobState.SUCCEEDED, 1):
            return True
        failed = await self.reads.newest(self.mapping.words.failed, await self._time(), STRANGE)
        return any(job.started is not None for job in failed)

    async def _time(self) -> datetime:
        if self._now is None:
            await self.check()
        self._now = await self.table.now()
        return self._now

    # ---------------------------------------------------------------- liveness

    async def sessions(self, own: Sequence[Session]) -> list[Session]:
        """Look at what runs; a session for each job whose worker has none of its own."""
        now = await self._time()
        running = await self.reads.oldest(JobState.RUNNING, now, kinds=None, age=None, limit=RUNNING)
        await self.past.refresh()
        touched = self.past.since(self._looked - SLOW) if self._looked else self.past.repaired
        self._twice |= twice.taken_again(self._holders, running, touched)
        self._touched, self._looked = touched, now
        self._own, self._running, self._holders = own, running, twice.holders(running)
        return liveness.sessions_of(self.name, running, own, now, silence=self.mapping.silence)

    async def still_silent(self, job_id: str, beats: int) -> bool:
        """Has the job shown no sign of life since its beats were read?"""
        now = await self._time()
        jobs = [read_row(self.mapping, row, now) for row in await self.table.find([job_id])]
        return len(jobs) == 1 and jobs[0].state is JobState.RUNNING and jobs[0].beats == beats

    async def held(self, absent: Collection[str], kinds: Collection[str] | None, limit: int) -> list[JobRef]:
        """Running jobs whose worker is among the absent, of those last looked at."""
        workers, gone = liveness.named(self._own, self.name), frozenset(absent)
        ended = {s.id for s in self._own if s.ended_at is not None}
        lost = []
        for job in self._watched(self._running, kinds):
            worker = liveness.attribute(job, workers)
            session = worker.id if worker else liveness.session_id(self.name, job)
            if session in gone or session in ended:
                lost.append((job, session))
        refs = {job.id: session for job, session in lost[:limit]}
        found = await self._refs([job for job, _ in lost[:limit]])
        return [replace(ref, session_id=refs[ref.id]) for ref in found]

    @staticmethod
    def _watched(jobs: Iterable[ForeignJob], kinds: Collection[str] | None) -> list[ForeignJob]:
        return [job for job in jobs if not job.problem and (kinds is None or job.kind in kinds)]

    # ---------------------------------------------------------------- what a probe asks

    async def stats(self) -> QueueStats:
        now = await self._time()
        pending, running, oldest, *_ = await asyncio.gather(
            self.reads.count(JobState.PENDING, CAP, self._kinds),
            self.reads.count(JobState.RUNNING, CAP, self._kinds),
            self.overdue(JobState.PENDING, 0.0, self._kinds, 1),
            self._count_on(now),
        )
        starts = [job.started for job in self._running if job.started]
        return QueueStats(
            queue=self.name,
            now=now,
            pending=pending,
            running=running,
            depth_exact=max(pending, running) < CAP,
            oldest_pending_at=oldest[0].run_at if oldest else None,
            oldest_running_at=min(starts, default=None),
            last_started_at=max(starts, default=None),
            last_finished_at=self._tally.last_finished,
            enqueued_total=self._tally.enqueued,
            finished_total=dict(self._tally.finished),
        )

    async def _count_on(self, now: datetime) -> None:
        newest, *ended = await asyncio.gather(
            self.reads.newest(self._all_words(), now, TALLIED),
            *(self.reads.newest(self.mapping.words.of(state), now, TALLIED) for state in FINISHERS if self._has(state)),
        )
        self._tally.see_created(newest, now)
        for state, jobs in zip((s for s in FINISHERS if self._has(s)), ended, strict=True):
            self._tally.see_finished(state, jobs)
        self._finished = [job for jobs in ended for job in jobs]

    def _has(self, state: JobState) -> bool:
        return bool(self.mapping.words.of(state))

    def _all_words(self) -> tuple[str, ...]:
        return tuple(word for state in JobState for word in self.mapping.words.of(state))

    async def overdue(self, state: JobState, age: float, kinds: Collection[str] | None, limit: int) -> list[JobRef]:
        """Jobs in their state for more than `age` seconds, oldest first. Those we put back ourselves wait anew, so that
        a page reaches beyond them."""
        now = await self._time()
        jobs = await self.reads.oldest(state, now, kinds=kinds, age=age, limit=limit + len(self.past.repaired))
        refs = sorted(await self._refs(jobs), key=lambda ref: ref.started_at or ref.run_at)
        if state is JobState.PENDING:
            # A clock told in whole seconds may be behind what was just written: that waits all the same.
            waited = ((max(0.0, (now - ref.run_at).total_seconds()), ref) for ref in refs)
            refs = sorted((ref for seconds, ref in waited if seconds >= age), key=lambda ref: ref.run_at)
        return refs[:limit]

    async def _refs(self, jobs: Sequence[ForeignJob]) -> list[JobRef]:
        readable = [job for job in jobs if not job.problem]
        await self.past.know(job.id for job in readable)
        refs = [
            job_ref(job, self.name, None, self.past.lost(job.id), self.past.waits_since(job.id)) for job in readable
        ]
        return [shifting.ref(ref, self._tally.behind) for ref in refs]

    async def foreign(self) -> ForeignFacts:
        """What only such a queue has to tell. Late writes are looked for each time, strange rows now and then."""
        now = await self._time()
        recent = self.past.recent
        rows = await self.table.find([repair.note.subject for repair in recent]) if recent else []
        jobs = {job.id: job for job in (read_row(self.mapping, row, now) for row in rows)}
        self._twice |= twice.ended_again(self._endings, [*self._finished, *self._running], self._touched)
        self._twice |= twice.written_late(self.mapping, recent, jobs)
        self._endings = {**self._endings, **twice.endings(self._finished)}
        self._endings = dict(list(self._endings.items())[-MOST_ENDINGS:])
        self._twice = dict(list(self._twice.items())[-STRANGE:])
        if self._looks % STRANGE_EVERY == 0:
            await self._look_for_strange(now)
        self._looks += 1
        silent = self.mapping.silence is None
        workers = liveness.named(self._own, self.name)
        alone = [j for j in self._watched(self._running, self._kinds) if silent and not liveness.attribute(j, workers)]
        doubles = (f"job {job_id}: {rows} rows have this id" for job_id, rows in self.reads.doubles.items())
        strange = tuple(dict.fromkeys((*self._strange, *doubles)))[:STRANGE]
        behind = self._tally.behind.total_seconds()
        return ForeignFacts(tuple(await self._refs(alone)), strange, tuple(self._twice.items()), behind)

    async def _look_for_strange(self, now: datetime) -> None:
        """No repair hangs on it: where it takes too long, what was known before is told on."""
        try:
            await self.reads.check_doubles()
            self._strange = await self._found_strange(now)
        except StoreUnavailable as error:
            log.warning("rows that cannot be understood were not looked for", queue=self.name, error=str(error))

    async def _found_strange(self, now: datetime) -> list[str]:
        unreadable, newest = await asyncio.gather(
            self.reads.unreadable(now, STRANGE), self.reads.newest((), now, TALLIED)
        )
        told = {job.id: f"job {job.id or '(no id)'}: {job.problem}" for job in (*unreadable, *newest) if job.problem}
        return list(told.values())[:STRANGE]

    # ---------------------------------------------------------------- lists

    async def jobs(self, state: JobState | None, limit: int, last: Job | None) -> list[Job]:
        """The newest, of those that follow on `last` where one is given."""
        now = await self._time()
        words = self._all_words() if state is None else self.mapping.words.of(state)
        after = (last.created_at, last.id) if last is not None else None
        return [shown(job, self.name, now) for job in await self.reads.page(words, now, limit, after)]

    async def job(self, job_id: str) -> Job | None:
        now = await self._time()
        rows = await self.table.find([job_id])
        return shown(read_row(self.mapping, rows[0], now), self.name, now) if rows else None
