"""The MongoDB store as the ports know it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Concatenate, ParamSpec, TypeVar

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
    PaperResult,
    Pause,
    QueueStats,
    Result,
    Session,
    StoreFacts,
)
from gradewatch.ports import Verb
from gradewatch.stores.chunks import in_chunks
from gradewatch.stores.mongo import (
    audit,
    claim,
    control,
    encode,
    operate,
    purge,
    reads,
    repair,
    rows,
    schema,
    sessions,
    stats,
    submit,
    tallies,
    undo,
    worker,
)
from gradewatch.stores.mongo.address import Address
from gradewatch.stores.mongo.database import Database
from gradewatch.stores.mongo.listener import ChangeStream
from gradewatch.stores.mongo.memory import ProviderMemory
from gradewatch.stores.mongo.notes import RowNoteLog
from gradewatch.stores.mongo.papers import PaperBucket

P = ParamSpec("P")
T = TypeVar("T")

MIGRATION = 600.0  # seconds a migration may take: it may have to build indexes over millions of documents


class MongoStore(PaperBucket, ProviderMemory, RowNoteLog):
    """See ports.Store for what each method promises.

    `where` is a URL, mongodb:// or mongodb+srv://, that names a database (ValueError where it does not), or a database
    handle of PyMongo's AsyncMongoClient or of Motor, which stays its giver's to close. `timeout` is the deadline of one
    call in seconds; `clock` stands for the store's clock, in microseconds since the epoch. An instance belongs to one
    event loop.
    """

    kind = "mongo"

    def __init__(self, where: Any, *, timeout: float = 5.0, clock: Callable[[], int] | None = None) -> None:
        handle = None if isinstance(where, str) else where
        address = Address(where) if isinstance(where, str) else Address.of(where)
        self._data = Database(address, timeout=timeout, clock=clock, handle=handle)
        self._listener = ChangeStream(self._data)
        self.place = address.shown

    async def _do(self, work: Callable[Concatenate[Database, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        async with self._data.call():
            return await work(self._data, *args, **kwargs)

    async def open(self) -> None:
        """Connect. Raises SchemaMismatch when the collections are absent, older or newer; creates nothing."""
        await self._do(schema.verify)

    async def close(self) -> None:
        await self._listener.close()
        await self._data.close()

    # ---------------------------------------------------------------- JobReader

    async def check(self, queues: Sequence[str]) -> StoreFacts:
        async with self._data.call():
            await schema.verify(self._data)
            missing = await schema.missing(self._data)
            served, now = await sessions.served(self._data), rows.when(await self._data.now())
        offset = (now - datetime.now(UTC)).total_seconds()
        ever = {queue: encode.text(queue) in served for queue in queues}
        return StoreFacts(self.kind, now, offset, missing_indexes=missing, session_ever=ever)

    async def stats(self, queue: str) -> QueueStats:
        return await self._do(stats.stats, queue)

    async def overdue(
        self, queue: str, state: JobState, age: float, *, kinds: Collection[str] | None, limit: int
    ) -> list[JobRef]:
        return await self._do(reads.overdue, queue, state, age, kinds, limit)

    async def held(
        self, queue: str, absent: Collection[str], *, kinds: Collection[str] | None, limit: int
    ) -> list[JobRef]:
        return await self._do(reads.held, queue, absent, kinds, limit)

    async def sessions(self) -> list[Session]:
        return await self._do(sessions.sessions)

    async def job(self, job_id: str) -> Job | None:
        return await self._do(reads.job, job_id)

    async def jobs(
        self,
        *,
        queue: str | None = None,
        state: JobState | None = None,
        limit: int = 50,
        before: str | None = None,
    ) -> list[Job]:
        return await self._do(reads.jobs, queue, state, limit, before)

    async def papers(self, job_id: str) -> list[PaperResult]:
        return await self._do(reads.papers, job_id)

    async def change_token(self) -> object:
        """What has been heard of new work; where nothing can be heard, a number that every change of a job changes."""
        await self._listener.ready()
        if self._listener.heard is not None:
            return "heard", self._listener.heard
        return "asked", await self._do(tallies.changed)

    # ---------------------------------------------------------------- JobWriter

    async def submit(self, jobs: Sequence[NewJob]) -> list[str]:
        """Raises PayloadError for a payload that JSON cannot hold; then none of them is submitted."""
        return await self._do(submit.submit, jobs)

    async def claim(self, session_id: str, queues: Sequence[str], kinds: Collection[str], limit: int) -> list[Job]:
        return await self._do(claim.claim, session_id, queues, kinds, limit)

    async def claim_job(self, session_id: str, job_id: str) -> Job:
        return await self._do(claim.claim_job, session_id, job_id)

    async def progress(self, claim: Claimed, done: int, total: int, message: str = "") -> None:
        await self._do(worker.progress, claim, done, total, message)

    async def credit_wait(self, claim: Claimed, seconds: float) -> None:
        await self._do(worker.credit_wait, claim, seconds)

    async def save_paper(self, claim: Claimed, result: PaperResult) -> None:
        """Raises PayloadError for a detail that JSON cannot hold, or that is too large."""
        await self._do(worker.save_paper, claim, result)

    async def finish(self, finishes: Sequence[Finish]) -> list[bool]:
        return await self._do(worker.finish, finishes)

    async def repair(self, actions: Sequence[Action], *, sweep: str, by: str) -> list[Result]:
        def some(chunk: Sequence[Action]) -> Awaitable[list[Result]]:
            return self._do(repair.repair, chunk, sweep, by)

        return await in_chunks(actions, some, size=repair.CHUNK, abreast=repair.ABREAST)

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
        return await self._do(operate.operate, job_id, verb, by, sweep, message, seen)

    # ---------------------------------------------------------------- Sessions

    async def open_session(self, new: NewSession) -> str:
        return await self._do(sessions.open_session, new)

    async def beat(self, session_id: str, *, loop_age: float, busy: int) -> BeatReply:
        return await self._do(sessions.beat, session_id, loop_age, busy)

    async def end_session(self, session_id: str, reason: str, *, beats: int | None = None) -> bool:
        return await self._do(sessions.end_session, session_id, reason, beats)

    # ---------------------------------------------------------------- AuditLog

    async def record(self, action: Action, outcome: Outcome, *, sweep: str, by: str, detail: str = "") -> int:
        return await self._do(audit.record, action, outcome, sweep, by, detail)

    async def amend(self, audit_id: int, *, outcome: Outcome | None = None, verified: bool | None = None) -> None:
        """Conflict: there is no such entry (any more)."""
        await self._do(audit.amend, audit_id, outcome, verified)

    async def audit(
        self, *, limit: int = 100, sweep: str | None = None, subject: str | None = None, before: int | None = None
    ) -> list[AuditEntry]:
        return await self._do(audit.entries, limit, sweep, subject, before)

    async def undo(self, sweep: str, *, by: str) -> list[tuple[AuditEntry, bool]]:
        undone: list[tuple[AuditEntry, bool]] = []
        while True:
            end = undone[-1][0].id if undone else encode.LARGEST
            chunk = await self._do(undo.undo, sweep, by, end)
            undone += chunk
            if len(chunk) < undo.CHUNK:
                return undone

    # ---------------------------------------------------------------- Control and Leases

    async def control(self, windows: Mapping[ActionKind, float]) -> ControlFacts:
        return await self._do(control.control, windows)

    async def pause(self, seconds: float | None, *, by: str, reason: str = "") -> Pause:
        return await self._do(control.pause, seconds, by, reason)

    async def resume(self, *, by: str) -> bool:
        return await self._do(control.resume, by)

    async def add_credit(self, credit: Credit) -> None:
        await self._do(control.add_credit, credit)

    async def acquire(self, name: str, holder: str, ttl: float) -> LeaseGrant | None:
        return await self._do(control.acquire, name, holder, ttl)

    async def release(self, name: str, holder: str) -> None:
        await self._do(control.release, name, holder)

    # ---------------------------------------------------------------- Upkeep

    async def migrate(self) -> list[str]:
        """Raises AccessDenied where this user may not create collections and indexes."""
        async with self._data.call(MIGRATION):
            return await schema.migrate(self._data)

    def migration_text(self) -> str:
        return schema.migration_text()

    async def purge(self, *, finished_age: float, audit_age: float, limit: int) -> int:
        """At most `limit` documents a call, in small writes; then the paper files that no job refers to any more."""
        ages = {"jobs": finished_age, "sessions": finished_age, "audit": audit_age}
        ages |= dict.fromkeys(("pages", "spending"), finished_age)
        gone = 0
        for what, age in ages.items():
            gone += await self._purge_kind(what, age, limit - gone)
        await self._do(purge.purge_credits)
        await self._do(purge.mend)
        await self._purge_papers()
        return gone

    async def _purge_kind(self, what: str, age: float, limit: int) -> int:
        gone = 0
        while gone < limit:
            size = min(purge.CHUNK, limit - gone)
            went = await self._do(purge.purge, what, age, size)
            gone += went
            if went < size:
                break
        return gone
