"""PURE. Who works on the jobs of another application, as far as its rows tell.

A job that runs stands for its worker: a heartbeat field that moves, or progress, is the worker's beat. Where nothing
moves by agreement, nothing is known of the worker, and silence proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from gradewatch.model import Session, Source
from gradewatch.stores.mapping.row import ForeignJob

PREFIX = "job:"


def session_id(queue: str, job: ForeignJob) -> str:
    return f"{PREFIX}{queue}:{job.id}"


def parse(session: str) -> tuple[str, str] | None:
    """(queue, job id) of such a session's id; None for a session of a real worker."""
    if not session.startswith(PREFIX):
        return None
    queue, _, job = session.removeprefix(PREFIX).partition(":")
    return queue, job


def named(sessions: Iterable[Session], queue: str) -> Mapping[str, Session]:
    """Sessions that workers of this queue opened themselves, by name; of several the one that beat last."""
    serving = (s for s in sessions if queue in s.queues and s.source is Source.BEATS)
    return {s.name: s for s in sorted(serving, key=lambda s: s.beat_at)}


def attribute(job: ForeignJob, workers: Mapping[str, Session]) -> Session | None:
    """The session of the worker that runs this job: the one it names; or, where it names none and exactly one worker
    ever beat for this queue, that one."""
    if job.worker:
        return workers.get(job.worker)
    return next(iter(workers.values())) if len(workers) == 1 else None


def sessions_of(
    queue: str, jobs: Sequence[ForeignJob], own: Iterable[Session], now: datetime, *, silence: float | None
) -> list[Session]:
    """A session for each running job that no real session accounts for. `silence`: None where rows prove nothing."""
    workers = named(own, queue)
    return [
        _session(queue, job, now, silence is not None)
        for job in jobs
        if not job.problem and attribute(job, workers) is None
    ]


def _session(queue: str, job: ForeignJob, now: datetime, speaks: bool) -> Session:
    since = job.started or job.heartbeat or now
    tells = speaks and (job.heartbeat is not None or job.done > 0 or job.total > 0)
    return Session(
        id=session_id(queue, job),
        name=job.worker or f"worker of job {job.id}",
        queues=(queue,),
        slots=1,
        busy=1,
        host="",
        pid=0,
        version="",
        target="",
        incarnation="",
        http="",
        started_at=since,
        beat_at=max(filter(None, (job.heartbeat, job.started)), default=now),
        beats=job.beats,
        loop_age=0.0,
        ended_at=None,
        end_reason="",
        source=Source.JOB if tells else Source.NOTHING,
    )
