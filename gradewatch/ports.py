"""Protocols between the pure core and the world. Probes get a `Reader`, never a writer.

Every method that touches a store raises only `StoreUnavailable`, `Conflict`, `AccessDenied` or
`SchemaMismatch` (see errors.py), has a deadline, and speaks UTC by the store's clock.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from gradewatch.model import (
    Action,
    ActionKind,
    Allowance,
    AuditEntry,
    BeatReply,
    Claimed,
    ControlFacts,
    CredentialFacts,
    Credit,
    CycleReport,
    Finish,
    ForeignFacts,
    Job,
    JobRef,
    JobState,
    LeaseGrant,
    NewJob,
    NewSession,
    NotedRepair,
    Outcome,
    PageText,
    PaperRef,
    PaperResult,
    Pause,
    QueueStats,
    Result,
    Right,
    RowNote,
    Session,
    StoreFacts,
    Target,
)


class Clock(Protocol):
    """This process's clocks. Only durations are ever taken from it, never a job's age."""

    def mono(self) -> float: ...
    def wall(self) -> datetime: ...


class JobReader(Protocol):
    """What probes may do: read."""

    async def check(self, queues: Sequence[str]) -> StoreFacts:
        """One cheap round trip: reachable, right schema, the store's time."""
        ...

    async def stats(self, queue: str) -> QueueStats: ...

    async def overdue(
        self, queue: str, state: JobState, age: float, *, kinds: Collection[str] | None, limit: int
    ) -> list[JobRef]:
        """Jobs in `state` (pending: waiting since run_at; running: since started_at) for more than `age` seconds,
        oldest first. Kinds outside `kinds` are filtered by the store, so that they hide nothing; None: all."""
        ...

    async def held(
        self, queue: str, absent: Collection[str], *, kinds: Collection[str] | None, limit: int
    ) -> list[JobRef]:
        """Running jobs whose session is in `absent`, has ended, or does not exist, oldest first."""
        ...

    async def sessions(self) -> list[Session]:
        """Sessions that are open, and those ended within the last five minutes."""
        ...

    async def job(self, job_id: str) -> Job | None: ...

    async def jobs(
        self,
        *,
        queue: str | None = None,
        state: JobState | None = None,
        limit: int = 50,
        before: str | None = None,
    ) -> list[Job]:
        """Newest first; `before` is the id of the last job of the previous page."""
        ...

    async def papers(self, job_id: str) -> list[PaperResult]: ...

    async def change_token(self) -> object:
        """A value that differs once somebody else has committed a change: cheap enough to ask 20 times a second.
        A store without such a thing returns a new object each time (the caller then polls in full)."""
        ...


class ForeignReader(Protocol):
    """What only a queue of another application has to tell. Asked after `JobReader.stats` of the same queue."""

    async def foreign(self, queue: str) -> ForeignFacts: ...


class Foreign(ForeignReader, Protocol):
    """What may be made in another application's database, when somebody asks for it."""

    def index_statements(self) -> list[str]: ...
    async def make_indexes(self) -> list[str]: ...
    def guard_statements(self) -> list[str]: ...
    async def make_guards(self) -> None: ...


Verb = Literal["requeue", "fail", "cancel"]


class JobWriter(Protocol):
    """What backends and workers may write. Each write of a worker is fenced by the token it claimed with."""

    async def submit(self, jobs: Sequence[NewJob]) -> list[str]:
        """Ids in order. A `key` already used in its queue returns the id of the job that has it."""
        ...

    async def claim(self, session_id: str, queues: Sequence[str], kinds: Collection[str], limit: int) -> list[Job]:
        """Up to `limit` eligible jobs by priority, then age, now running under this session; attempt and token
        are raised. A job to be run alone is given only to a session that holds nothing, and then by itself; where
        it stands first, nothing behind it is given. Conflict: the session has ended."""
        ...

    async def claim_job(self, session_id: str, job_id: str) -> Job:
        """That very pending job, whatever its queue, kind or backoff, now running under this session; attempt and
        token are raised. NotFound; Conflict: it is not pending, or the session has ended."""
        ...

    async def progress(self, claim: Claimed, done: int, total: int, message: str = "") -> None:
        """Conflict: the claim is no longer held."""
        ...

    async def credit_wait(self, claim: Claimed, seconds: float) -> None:
        """This claim has waited `seconds` in all for a provider: its start_to_close does not count them. Told again,
        the larger figure holds; a new claim begins at zero. Conflict: no longer held."""
        ...

    async def save_paper(self, claim: Claimed, result: PaperResult) -> None:
        """Checkpoint one paper and raise the job's progress in the same write. Conflict: no longer held."""
        ...

    async def finish(self, finishes: Sequence[Finish]) -> list[bool]:
        """One transaction. False where the claim was no longer held: that row is untouched."""
        ...

    async def repair(self, actions: Sequence[Action], *, sweep: str, by: str) -> list[Result]:
        """Guarded repairs of jobs, each with its audit entry in the same transaction: APPLIED, or NOOP when the
        row is no longer as it was read. Bounded: the caller passes at most a few thousand."""
        ...

    async def operate(
        self, job_id: str, verb: Verb, *, by: str, sweep: str, message: str, seen: tuple[JobState, int] | None = None
    ) -> Job:
        """A person's `requeue`, `fail` or `cancel`, guarded by the (state, token) in `seen`, or by what this call
        reads itself, and audited. NotFound; Conflict when the job's state does not allow it."""
        ...


class Sessions(Protocol):
    async def open_session(self, new: NewSession) -> str: ...

    async def beat(self, session_id: str, *, loop_age: float, busy: int) -> BeatReply:
        """One write, however many jobs the session holds."""
        ...

    async def end_session(self, session_id: str, reason: str, *, beats: int | None = None) -> bool:
        """False when it had ended already, or, with `beats`, when it has beaten since that was read."""
        ...


class AuditLog(Protocol):
    async def record(
        self,
        action: Action,
        outcome: Outcome,
        *,
        sweep: str,
        by: str,
        detail: str = "",
    ) -> int:
        """Write one entry (suppressed, dry run, restart …); returns its id."""
        ...

    async def amend(self, audit_id: int, *, outcome: Outcome | None = None, verified: bool | None = None) -> None: ...

    async def audit(
        self, *, limit: int = 100, sweep: str | None = None, subject: str | None = None, before: int | None = None
    ) -> list[AuditEntry]:
        """Newest first."""
        ...

    async def undo(self, sweep: str, *, by: str) -> list[tuple[AuditEntry, bool]]:
        """Put back each row of a sweep that is still as the repair left it, in one guarded write each; an entry
        already undone is skipped. A pending job returns with a fresh waiting clock; a job that was running returns
        as pending with that attempt given back, because its worker was told to stop."""
        ...


class RowNotes(Protocol):
    """The audit trail of rows that are not ours, which lie in another place than the trail: written before the row is
    touched, so that a watch that dies in the act has spent its budget and can be undone."""

    async def note_repairs(self, notes: Sequence[RowNote], *, sweep: str, by: str) -> list[int]:
        """One audit entry each, with its note, in one transaction; returns their ids in order."""
        ...

    async def unnote(self, ids: Sequence[int]) -> None:
        """These came to nothing: somebody was faster. Their outcome becomes NOOP, their notes go."""
        ...

    async def noted(
        self,
        queue: str,
        *,
        subjects: Collection[str] | None = None,
        sweep: str | None = None,
        within: float | None = None,
        limit: int = 1000,
    ) -> list[NotedRepair]:
        """Applied repairs of a queue's rows, the newest first: of these subjects, of this sweep, of the last `within`
        seconds."""
        ...

    async def note_undone(self, ids: Sequence[int], *, by: str) -> None:
        """Mark these entries as undone, and write an entry `undo` for each."""
        ...


class Control(Protocol):
    async def control(self, windows: Mapping[ActionKind, float]) -> ControlFacts:
        """Pause, credits, recent restarts, and the applied repairs per (action, queue) in each action's window of
        seconds."""
        ...

    async def pause(self, seconds: float | None, *, by: str, reason: str = "") -> Pause: ...

    async def resume(self, *, by: str) -> bool:
        """False when nothing was paused."""
        ...

    async def add_credit(self, credit: Credit) -> None: ...


class Leases(Protocol):
    async def acquire(self, name: str, holder: str, ttl: float) -> LeaseGrant | None:
        """Take or renew; None while somebody else holds it. Expiry is by the store's clock."""
        ...

    async def release(self, name: str, holder: str) -> None: ...


class Papers(Protocol):
    """Where uploaded papers are kept, content-addressed."""

    async def put(self, path: Path, name: str) -> PaperRef: ...
    def paper(self, ref: PaperRef) -> AbstractAsyncContextManager[Path]:
        """The paper as a local file for the length of the context. PaperError when it is not there."""
        ...


class PageCache(Protocol):
    """Pages that a provider has read, by a digest of page, provider and options: nothing is bought twice."""

    async def pages(self, keys: Sequence[str]) -> dict[str, PageText]:
        """Those of them that are known. `source` is not kept."""
        ...

    async def keep_page(self, key: str, page: PageText) -> None: ...


class Spending(Protocol):
    """What was asked of providers, per job and per day in UTC, over all workers."""

    async def reserve(self, job_id: str, tokens: int, *, per_job: Allowance, per_day: Allowance) -> str:
        """Count one call and its expected tokens, in one guarded write. Where that would pass an allowance nothing is
        counted, and the answer says which: "job" or "day"; else it is empty."""
        ...

    async def settle(self, job_id: str, tokens: int) -> None:
        """Correct what was reserved by this many tokens, once it is known what the call took."""
        ...


class TroubleReader(Protocol):
    async def troubles(self) -> list[CredentialFacts]:
        """What workers have met at providers, and neither cleared nor let lapse."""
        ...


class Troubles(TroubleReader, Protocol):
    """What workers meet at providers, told to the watch: one trouble a provider, the last one told."""

    async def tell_trouble(self, fact: CredentialFacts, *, lasts: float) -> None:
        """It is believed for `lasts` seconds, unless told again or cleared."""
        ...

    async def clear_trouble(self, provider: str) -> None: ...


class Upkeep(Protocol):
    async def migrate(self) -> list[str]:
        """Create or upgrade what the store needs; returns what was done. Safe to run from several processes."""
        ...

    def migration_text(self) -> str: ...

    async def purge(self, *, finished_age: float, audit_age: float, limit: int) -> int:
        """Delete finished jobs, ended sessions and audit entries older than that, in bounded batches; returns how
        many rows went."""
        ...


class Store(
    JobReader,
    JobWriter,
    Sessions,
    AuditLog,
    RowNotes,
    Control,
    Leases,
    Papers,
    PageCache,
    Spending,
    Troubles,
    Upkeep,
    Protocol,
):
    """Everything a store gives. Only `app` sees it whole; all others take the narrow port they need."""

    kind: str

    async def open(self) -> None:
        """Connect. Raises a store error when the schema is absent, older or newer; never creates anything."""
        ...

    async def close(self) -> None: ...


OpenStore = Callable[[], Awaitable[Store]]


class WorkerControl(Protocol):
    """A platform: tells how workers live and died, and restarts one."""

    kind: str

    async def targets(self) -> Sequence[Target]:
        """Raises PlatformError when the platform does not answer."""
        ...

    async def restart(self, target: str, incarnation: str) -> str:
        """Restart that incarnation of the target and return the new one's identity. Raises Conflict when the
        target is no longer that incarnation, NotNow when the platform asks to wait, PlatformError when it refused."""
        ...

    def on_event(self, wake: Callable[[], None]) -> None:
        """Call `wake` early when something changed; losing such a call costs latency, never correctness."""
        ...


class RescueControl(Protocol):
    """Runs a worker of our own, supervised, for queues whose workers are gone."""

    async def add(self, queue: str) -> None:
        """Have it work this queue, too. Raises PlatformError when no process can be started."""
        ...

    def release(self, queues: Collection[str] | None = None) -> None:
        """Have it leave these queues (None: all), and drain, in the background."""
        ...


# What a platform may give beside that; each is asked for by isinstance.


@runtime_checkable
class Managed(Protocol):
    """A platform with connections or tasks of its own."""

    async def open(self) -> None:
        """Returns at once: one that does not answer yet is tried again and again."""
        ...

    async def close(self) -> None: ...


@runtime_checkable
class KeepsLeases(Protocol):
    """A platform that keeps the lease of the acting watch, in place of the store."""

    @property
    def leases(self) -> Leases: ...


@runtime_checkable
class HearsReports(Protocol):
    """A platform where people look for the story of a worker."""

    def hear(self, report: CycleReport) -> None:
        """Called on the event loop with every report; quick, and never raises."""
        ...


@runtime_checkable
class PassesOnWhy(Protocol):
    """A platform whose other side is told why a worker is restarted."""

    async def restart_for(self, action: Action) -> str:
        """As `restart`, of the action's target and incarnation."""
        ...


@runtime_checkable
class ChecksRights(Protocol):
    """A platform that gives rights, and says which of them we have."""

    async def rights(self) -> Sequence[Right]:
        """Every right that is needed. Raises PlatformError when that cannot be asked."""
        ...


# ---------------------------------------------------------------- the grading pipeline's two ports


class Ocr(Protocol):
    name: str

    async def read(self, image: Any) -> tuple[str, float]:
        """Text and confidence 0..1 of one page image (a Pillow image). Raises PaperError."""
        ...


class Grader(Protocol):
    name: str

    async def grade(self, text: str, rubric: Any, confidence: float) -> Sequence[Mapping[str, Any]]: ...
