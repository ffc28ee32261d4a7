"""What is read of jobs, and what may be written to them.

Every method that touches a store raises only `StoreUnavailable`, `Conflict`, `AccessDenied` or
`SchemaMismatch` (see errors.py), has a deadline, and speaks UTC by the store's clock.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal, Protocol

from gradewatch.model import (
    Action,
    BeatReply,
    Claimed,
    Finish,
    Job,
    JobRef,
    JobState,
    NewJob,
    NewSession,
    PaperResult,
    QueueStats,
    Result,
    Session,
    StoreFacts,
)


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
        """Checkpoint one paper and raise the job's progress in the same write. The same result again under the same
        claim, as when an answer got lost, is not another write. Conflict: no longer held."""
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
