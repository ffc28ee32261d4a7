"""The ports over a `Caller`: each method is one function of the schema, called in one round trip.

How the functions are reached is the caller's business: over a connection here, over PostgREST elsewhere.
"""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from gradewatch.errors import Conflict, NotFound
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
from gradewatch.ports import Verb
from gradewatch.stores.chunks import in_chunks
from gradewatch.stores.postgres import encode, repair, rows, schema
from gradewatch.stores.postgres.notes import RowNoteLog
from gradewatch.stores.postgres.providers import ProviderMemory
from gradewatch.stores.postgres.records import Records

if TYPE_CHECKING:
    from gradewatch.stores.postgres.caller import Caller

_UNSAID = {"requeue": "Queued again by hand.", "fail": "Failed by hand.", "cancel": "Cancelled by hand."}
_FROM = {"requeue": "running, failed or cancelled", "fail": "pending or running", "cancel": "pending or running"}


class FunctionStore(Records, RowNoteLog, ProviderMemory):
    """All of a store but its papers, its migrations and its wake-ups. See ports.Store for what each method promises."""

    kind: str
    place: str  # what messages call the store

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    # ---------------------------------------------------------------- JobReader

    async def check(self, queues: Sequence[str]) -> StoreFacts:
        facts = await self._caller.call("check", queues=list(queues))
        missing = self._verify(facts)
        now = rows.when(facts["now"])
        offset = (now - datetime.now(UTC)).total_seconds()
        ever = {queue: queue in facts["served"] for queue in queues}
        return StoreFacts(self.kind, now, offset, missing_indexes=missing, session_ever=ever)

    def _verify(self, facts: Mapping[str, Any]) -> tuple[str, ...]:
        """Names of missing indexes, from what the function `check` answered. Raises store errors."""
        return schema.verify(self.place, facts)

    async def stats(self, queue: str) -> QueueStats:
        return rows.stats(queue, await self._caller.call("stats", of_queue=queue))

    async def overdue(
        self, queue: str, state: JobState, age: float, *, kinds: Collection[str] | None, limit: int
    ) -> list[JobRef]:
        if state not in (JobState.PENDING, JobState.RUNNING):
            raise ValueError(f"only pending and running jobs can be overdue, not {state.value} ones")
        found = await self._caller.call(
            "overdue",
            of_queue=queue,
            of_state=state.value,
            age=encode.micros(age),
            kinds=_listed(kinds),
            most=encode.page(limit),
        )
        return rows.job_refs(found)

    async def held(
        self, queue: str, absent: Collection[str], *, kinds: Collection[str] | None, limit: int
    ) -> list[JobRef]:
        found = await self._caller.call(
            "held", of_queue=queue, absent=list(absent), kinds=_listed(kinds), most=encode.page(limit)
        )
        return rows.job_refs(found)

    async def sessions(self) -> list[Session]:
        return [rows.session(row) for row in await self._caller.call("list_sessions")]

    async def job(self, job_id: str) -> Job | None:
        row = await self._caller.call("get_job", job=job_id)
        return None if row is None else rows.job(row)

    async def jobs(
        self,
        *,
        queue: str | None = None,
        state: JobState | None = None,
        limit: int = 50,
        before: str | None = None,
    ) -> list[Job]:
        of_state = None if state is None else state.value
        found = await self._caller.call(
            "list_jobs", of_queue=queue, of_state=of_state, most=encode.page(limit), before_id=before
        )
        return [rows.job(row) for row in found]

    async def papers(self, job_id: str) -> list[PaperResult]:
        return [rows.paper(row) for row in await self._caller.call("list_papers", job=job_id)]

    # ---------------------------------------------------------------- JobWriter

    async def submit(self, jobs: Sequence[NewJob]) -> list[str]:
        """Raises PayloadError for a payload that JSON cannot hold; then none of them is submitted."""
        made: list[str] = await self._caller.call("submit", new_jobs=encode.new_jobs(jobs))
        return made

    async def claim(self, session_id: str, queues: Sequence[str], kinds: Collection[str], limit: int) -> list[Job]:
        claimed = await self._caller.call(
            "claim", session=session_id, queues=list(queues), kinds=list(kinds), most=encode.page(limit)
        )
        if claimed is None:
            raise Conflict(f"Session {session_id} has ended or never began: it may claim nothing. Open a new one.")
        return rows.jobs(claimed) if claimed else []

    async def claim_job(self, session_id: str, job_id: str) -> Job:
        answer = await self._caller.call("claim_job", session=session_id, wanted=job_id)
        match answer.get("problem"):
            case None:
                return rows.job(answer["job"])
            case "session":
                raise Conflict(f"Session {session_id} has ended or never began: it may claim nothing. Open a new one.")
            case "absent":
                raise NotFound(f"There is no job {job_id}: check the id, or it was purged after its retention time.")
        raise Conflict(f"Job {job_id} is {answer['problem']}; only a pending job can be claimed. It is untouched.")

    async def progress(self, claim: Claimed, done: int, total: int, message: str = "") -> None:
        held = await self._caller.call(
            "progress", job=claim.id, held_token=claim.token, done=done, total=total, message=message
        )
        _require(held, claim)

    async def credit_wait(self, claim: Claimed, seconds: float) -> None:
        held = await self._caller.call("credit_wait", job=claim.id, held_token=claim.token, span=encode.micros(seconds))
        _require(held, claim)

    async def save_paper(self, claim: Claimed, result: PaperResult) -> None:
        """Raises PayloadError for a detail that JSON cannot hold."""
        paper, detail = encode.paper(result)
        held = await self._caller.call("save_paper", job=claim.id, held_token=claim.token, paper=paper, detail=detail)
        _require(held, claim)

    async def finish(self, finishes: Sequence[Finish]) -> list[bool]:
        held: list[bool] = await self._caller.call("finish", finishes=encode.finishes(finishes))
        return held

    async def repair(self, actions: Sequence[Action], *, sweep: str, by: str) -> list[Result]:
        def some(chunk: Sequence[Action]) -> Awaitable[list[Result]]:
            return repair.repair(self._caller, chunk, sweep, by)

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
        if verb not in _FROM:
            raise ValueError(f"{verb!r} is none of {', '.join(_FROM)}")
        state, token = (None, None) if seen is None else (seen[0].value, seen[1])
        answer = await self._caller.call(
            "operate",
            job=job_id,
            verb=verb,
            by_whom=by,
            in_sweep=sweep,
            message=message or _UNSAID[verb],
            seen_state=state,
            seen_token=token,
        )
        match answer.get("problem"):
            case None:
                return rows.job(answer["job"])
            case "absent":
                raise NotFound(f"There is no job {job_id}: check the id, or it was purged after its retention time.")
            case "moved":
                raise Conflict(f"Job {job_id} is {answer['state']} by now and was {state}: look again, then decide.")
        raise Conflict(
            f"Job {job_id} is {answer['state']}; only a {_FROM[verb]} job can be put to {verb!r}. It is untouched."
        )

    # ---------------------------------------------------------------- Sessions

    async def open_session(self, new: NewSession) -> str:
        words = ("name", "host", "version", "target", "incarnation", "http")
        about = {word: encode.text(getattr(new, word)) for word in words}
        queues = [encode.text(queue) for queue in new.queues]
        session = encode.dump({**about, "queues": queues, "slots": new.slots, "pid": new.pid})
        made: str = await self._caller.call("open_session", session=session)
        return made

    async def beat(self, session_id: str, *, loop_age: float, busy: int) -> BeatReply:
        held = await self._caller.call("beat", session=session_id, pulse_age=loop_age, busy_slots=busy)
        if held is None:
            return BeatReply(session_open=False, held=frozenset())
        return BeatReply(session_open=True, held=frozenset(Claimed(job_id, token) for job_id, token in held))

    async def end_session(self, session_id: str, reason: str, *, beats: int | None = None) -> bool:
        ended: bool = await self._caller.call("end_session", session=session_id, reason=reason, beats_read=beats)
        return ended


def _listed(kinds: Collection[str] | None) -> list[str] | None:
    return None if kinds is None else list(kinds)


def _require(held: bool, claim: Claimed) -> None:
    if not held:
        raise Conflict(
            f"Job {claim.id} is no longer held with token {claim.token}: stop working on it. It is untouched."
        )
