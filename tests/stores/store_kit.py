"""What the store tests say often: a job, a worker, a claim, a repair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gradewatch.model import (
    Action,
    ActionKind,
    Claimed,
    Code,
    Finish,
    FinishKind,
    Job,
    JobError,
    JobRef,
    NewJob,
    NewSession,
    PaperResult,
    Result,
)
from gradewatch.ports import Store

QUEUES = ("default",)
KINDS = ("grade",)
LOST = JobError("worker_lost", "Its worker died.")


def new(kind: str = "grade", payload: dict[str, Any] | None = None, **settings: Any) -> NewJob:
    return NewJob(kind, payload or {}, **settings)


def new_session(name: str = "worker", queues: tuple[str, ...] = QUEUES) -> NewSession:
    return NewSession(name, queues, slots=2, host="host-1", pid=4711, version="0.1.0")


def fence(job: Job) -> Claimed:
    return Claimed(job.id, job.token)


def ids(jobs: Sequence[Job]) -> list[str]:
    return [job.id for job in jobs]


def ref(job: Job) -> JobRef:
    """The job as a probe would have read it."""
    return JobRef(
        id=job.id,
        queue=job.queue,
        kind=job.kind,
        state=job.state,
        token=job.token,
        attempt=job.attempt,
        max_attempts=job.max_attempts,
        lost=job.lost,
        session_id=job.session_id,
        run_at=job.run_at,
        started_at=job.started_at,
    )


def action(kind: ActionKind, job: Job, **changes: Any) -> Action:
    reason = Code.JOB_TIMED_OUT if kind is ActionKind.EXPIRE else Code.WORKER_NOT_RUNNING
    return Action(kind, job.queue, reason, f"{kind.value} it", job=ref(job), error=LOST, **changes)


def restart(target: str = "worker-1", queue: str = "default") -> Action:
    return Action(ActionKind.RESTART, queue, Code.WORKER_NOT_RUNNING, "restart it", target=target, incarnation="1")


def graded(index: int, status: str = "graded") -> PaperResult:
    return PaperResult(index, f"paper-{index}.pdf", status, 3.5, 5.0, {"questions": [{"id": "1", "marks": 3.5}]})


async def get(store: Store, job_id: str) -> Job:
    job = await store.job(job_id)
    assert job is not None
    return job


async def repaired(store: Store, *actions: Action, sweep: str = "sweep-1") -> list[Result]:
    return await store.repair(actions, sweep=sweep, by="watch-1")


@dataclass
class Hands:
    """A worker reduced to its store calls."""

    store: Store
    session: str

    @classmethod
    async def open(cls, store: Store, queues: tuple[str, ...] = QUEUES) -> Hands:
        return cls(store, await store.open_session(new_session(queues=queues)))

    async def claim(self, limit: int = 10, queues: Sequence[str] = QUEUES, kinds: Sequence[str] = KINDS) -> list[Job]:
        return await self.store.claim(self.session, queues, kinds, limit)

    async def one(self) -> Job:
        [job] = await self.claim(1)
        return job

    async def finish(self, job: Job, kind: FinishKind = FinishKind.SUCCEED, **more: Any) -> bool:
        [held] = await self.store.finish([Finish(fence(job), kind, **more)])
        return held

    async def end(self) -> None:
        assert await self.store.end_session(self.session, "killed by SIGKILL")


async def running(store: Store, **settings: Any) -> tuple[Hands, Job]:
    """A job that was just submitted and claimed, and the worker that holds it."""
    hands = await Hands.open(store)
    await store.submit([new(**settings)])
    return hands, await hands.one()
