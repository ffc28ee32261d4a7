"""The SQLite store as the ports know it: every call is handed to the writing or the reading lane."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import islice
from pathlib import Path

from gradewatch.errors import PaperError
from gradewatch.model import (
    Action,
    ActionKind,
    AuditEntry,
    BeatReply,
    Claimed,
    ControlFacts,
    Credit,
    Finish,
    Job,
    JobRef,
    JobState,
    LeaseGrant,
    NewJob,
    NewSession,
    Outcome,
    PaperRef,
    PaperResult,
    Pause,
    QueueStats,
    Result,
    Session,
    StoreFacts,
)
from gradewatch.ports import Verb
from gradewatch.stores.chunks import in_chunks
from gradewatch.stores.sqlite import (
    audit,
    claim,
    control,
    faults,
    ids,
    operate,
    purge,
    reads,
    repair,
    rows,
    schema,
    sessions,
    stats,
    submit,
    undo,
    worker,
)
from gradewatch.stores.sqlite.connect import identity
from gradewatch.stores.sqlite.notes import RowNoteLog
from gradewatch.stores.sqlite.papers import PaperFolder, is_part
from gradewatch.stores.sqlite.providers import ProviderMemory
from gradewatch.stores.sqlite.reader import Reader
from gradewatch.stores.sqlite.writer import Writer

CHUNK = 500  # rows repaired or undone in one write: some 30 ms of the write lock
PURGE_CHUNK = 50  # rows purged in one write: a job may have hundreds of papers


class SqliteStore(RowNoteLog, ProviderMemory):
    """One SQLite file, safe with several processes and threads. See ports.Store for what each method promises.

    `timeout` is the deadline of one call in seconds; `clock` the store's clock in microseconds since the epoch.
    An instance may be used from several event loops; its papers lie in the folder `<path>.papers`.
    """

    kind = "sqlite"

    def __init__(self, path: Path | str, *, timeout: float = 5.0, clock: Callable[[], int] | None = None) -> None:
        self.path = Path(path).absolute()
        self.timeout = timeout
        clock = clock or _wall_micros
        self._writer = Writer(self.path, timeout=timeout, clock=clock)
        self._reader = Reader(self.path, timeout=timeout, clock=clock)
        self._papers = PaperFolder(self.path.with_name(self.path.name + ".papers"))

    async def open(self) -> None:
        """Connect. Raises SchemaMismatch when the file or its tables are absent, older or newer; creates nothing."""
        await self._reader.run(lambda c: schema.verify(c, self.path))
        await self._writer.run(lambda c: schema.verify(c, self.path))  # may we write at all?

    async def close(self) -> None:
        await self._writer.close()
        await self._reader.close()

    # ---------------------------------------------------------------- JobReader

    async def check(self, queues: Sequence[str]) -> StoreFacts:
        missing, now, served = await self._reader.run(
            lambda c: (schema.verify(c, self.path), ids.now(c), stats.served(c, queues))
        )
        offset = (now - _wall_micros()) / 1_000_000
        return StoreFacts(self.kind, rows.from_micros(now), offset, missing_indexes=missing, session_ever=served)

    async def stats(self, queue: str) -> QueueStats:
        return await self._reader.run(lambda c: stats.stats(c, queue))

    async def overdue(
        self, queue: str, state: JobState, age: float, *, kinds: Collection[str] | None, limit: int
    ) -> list[JobRef]:
        return await self._reader.run(lambda c: reads.overdue(c, queue, state, age, kinds, limit))

    async def held(
        self, queue: str, absent: Collection[str], *, kinds: Collection[str] | None, limit: int
    ) -> list[JobRef]:
        return await self._reader.run(lambda c: reads.held(c, queue, absent, kinds, limit))

    async def sessions(self) -> list[Session]:
        return await self._reader.run(sessions.sessions)

    async def job(self, job_id: str) -> Job | None:
        return await self._reader.run(lambda c: reads.job(c, job_id))

    async def jobs(
        self,
        *,
        queue: str | None = None,
        state: JobState | None = None,
        limit: int = 50,
        before: str | None = None,
    ) -> list[Job]:
        return await self._reader.run(lambda c: reads.jobs(c, queue, state, limit, before))

    async def papers(self, job_id: str) -> list[PaperResult]:
        return await self._reader.run(lambda c: reads.papers(c, job_id))

    async def change_token(self) -> object:
        """SQLite's data_version: it changes once any other connection, our own writer included, has committed."""
        token: int = await self._reader.run(lambda c: c.execute("PRAGMA data_version").fetchone()[0])
        return token

    # ---------------------------------------------------------------- JobWriter

    async def submit(self, jobs: Sequence[NewJob]) -> list[str]:
        """Raises PayloadError for a payload that JSON cannot hold; then none of them is submitted."""
        prepared = [submit.prepare(job) for job in jobs]
        return await self._writer.run(lambda c: submit.submit(c, prepared))

    async def claim(self, session_id: str, queues: Sequence[str], kinds: Collection[str], limit: int) -> list[Job]:
        return await self._writer.run(lambda c: claim.claim(c, session_id, queues, kinds, limit))

    async def claim_job(self, session_id: str, job_id: str) -> Job:
        return await self._writer.run(lambda c: claim.claim_job(c, session_id, job_id))

    async def progress(self, claim: Claimed, done: int, total: int, message: str = "") -> None:
        await self._writer.run(lambda c: worker.progress(c, claim, done, total, message))

    async def save_paper(self, claim: Claimed, result: PaperResult) -> None:
        """Raises PayloadError for a detail that JSON cannot hold."""
        detail = worker.prepare_detail(result)
        await self._writer.run(lambda c: worker.save_paper(c, claim, result, detail))

    async def finish(self, finishes: Sequence[Finish]) -> list[bool]:
        prepared = [worker.prepare_finish(finish) for finish in finishes]
        return await self._writer.run(lambda c: worker.finish(c, prepared))

    async def repair(self, actions: Sequence[Action], *, sweep: str, by: str) -> list[Result]:
        def some(chunk: Sequence[Action]) -> Awaitable[list[Result]]:
            return self._writer.run(partial(repair.repair, actions=chunk, sweep=sweep, by=by))

        return await in_chunks(actions, some, size=CHUNK, abreast=1)

    async def operate(
        self,
        job_id: str,
        verb: Verb,
        *,
        by: str,
        sweep: str,
        message: str,
        seen: tuple[JobState, int] | None = None,
    ) -> Job:
        """Requeue, fail or cancel one job by hand. `seen` is the (state, token) the person decided on; None: as it
        is now. Raises NotFound, and Conflict when the job's state does not allow it or is no longer as seen."""
        return await self._writer.run(lambda c: operate.operate(c, job_id, verb, by, sweep, message, seen))

    # ---------------------------------------------------------------- Sessions

    async def open_session(self, new: NewSession) -> str:
        return await self._writer.run(lambda c: sessions.open_session(c, new))

    async def beat(self, session_id: str, *, loop_age: float, busy: int) -> BeatReply:
        return await self._writer.run(lambda c: sessions.beat(c, session_id, loop_age, busy))

    async def end_session(self, session_id: str, reason: str, *, beats: int | None = None) -> bool:
        return await self._writer.run(lambda c: sessions.end_session(c, session_id, reason, beats))

    # ---------------------------------------------------------------- AuditLog

    async def record(self, action: Action, outcome: Outcome, *, sweep: str, by: str, detail: str = "") -> int:
        return await self._writer.run(lambda c: audit.record(c, action, outcome, sweep, by, detail))

    async def amend(self, audit_id: int, *, outcome: Outcome | None = None, verified: bool | None = None) -> None:
        """Conflict: there is no such entry (any more)."""
        await self._writer.run(lambda c: audit.amend(c, audit_id, outcome, verified))

    async def audit(
        self, *, limit: int = 100, sweep: str | None = None, subject: str | None = None, before: int | None = None
    ) -> list[AuditEntry]:
        return await self._reader.run(lambda c: audit.entries(c, limit, sweep, subject, before))

    async def undo(self, sweep: str, *, by: str) -> list[tuple[AuditEntry, bool]]:
        undone: list[tuple[AuditEntry, bool]] = []
        while True:
            end = undone[-1][0].id if undone else rows.LARGEST
            chunk = await self._writer.run(partial(undo.undo, sweep=sweep, by=by, before=end, limit=CHUNK))
            undone += chunk
            if len(chunk) < CHUNK:
                return undone

    # ---------------------------------------------------------------- Control and Leases

    async def control(self, windows: Mapping[ActionKind, float]) -> ControlFacts:
        return await self._reader.run(lambda c: control.control(c, windows))

    async def pause(self, seconds: float | None, *, by: str, reason: str = "") -> Pause:
        return await self._writer.run(lambda c: control.pause(c, seconds, by, reason))

    async def resume(self, *, by: str) -> bool:
        return await self._writer.run(lambda c: control.resume(c, by))

    async def add_credit(self, credit: Credit) -> None:
        await self._writer.run(lambda c: control.add_credit(c, credit))

    async def acquire(self, name: str, holder: str, ttl: float) -> LeaseGrant | None:
        return await self._writer.run(lambda c: control.acquire(c, name, holder, ttl))

    async def release(self, name: str, holder: str) -> None:
        await self._writer.run(lambda c: control.release(c, name, holder))

    # ---------------------------------------------------------------- Papers

    async def put(self, path: Path, name: str) -> PaperRef:
        """Raises PaperError when the file cannot be read."""
        return await asyncio.to_thread(self._papers.put, path, name, self.timeout)

    @asynccontextmanager
    async def paper(self, ref: PaperRef) -> AsyncIterator[Path]:
        yield self._find_paper(ref)

    def _find_paper(self, ref: PaperRef) -> Path:
        try:
            return self._papers.find(ref)
        except PaperError:
            if (
                identity(self.path) is None
            ):  # the whole folder is away, an unmounted volume say: that is no paper's fault
                raise faults.gone(self.path) from None
            return self._papers.find(ref)  # it may have come back between the two looks

    # ---------------------------------------------------------------- Upkeep

    async def migrate(self) -> list[str]:
        return await asyncio.to_thread(schema.migrate, self.path, self.timeout)

    def migration_text(self) -> str:
        return schema.migration_text()

    async def purge(self, *, finished_age: float, audit_age: float, limit: int) -> int:
        """At most `limit` rows a call, in small writes; then the paper files that no job refers to any more."""
        ages = {"jobs": finished_age, "sessions": finished_age, "audit": audit_age}
        ages |= dict.fromkeys(("pages", "spending"), finished_age)
        gone = 0
        for table, age in ages.items():
            gone += await self._purge_table(table, age, limit - gone)
        await self._writer.run(purge.delete_credits)
        await self._purge_papers()
        return gone

    async def _purge_table(self, table: str, age: float, limit: int) -> int:
        gone = 0
        while gone < limit:
            size = min(PURGE_CHUNK, limit - gone)
            went = await self._writer.run(partial(purge.delete_old, table=table, age=rows.micros(age), limit=size))
            gone += went
            if went < size:
                break
        return gone

    async def _purge_papers(self) -> None:
        now = time.time()
        stale = self._papers.stale(now)
        with self._papers.faults():
            while batch := await asyncio.to_thread(lambda: list(islice(stale, CHUNK))):
                hashes = [path.name for path in batch if not is_part(path)]
                needless = await self._reader.run(partial(purge.unreferenced, hashes=hashes))
                doomed = [path for path in batch if is_part(path) or path.name in needless]
                await asyncio.to_thread(self._papers.remove, doomed, now)


def _wall_micros() -> int:
    return time.time_ns() // 1000
