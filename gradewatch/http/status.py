"""GET /api/worker_status: is somebody working, and if not, why. Made for a poller and for a teacher's page."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gradewatch.board import Board
from gradewatch.config import Settings
from gradewatch.errors import StoreError
from gradewatch.http import wire
from gradewatch.model import (
    CycleReport,
    Job,
    JobRef,
    JobState,
    Known,
    Outcome,
    QueueFacts,
    Severity,
    Source,
    Unknown,
    Verdict,
    rescues,
)

NEWEST = 5  # jobs shown
MAX_WORKERS = 100  # workers listed, those in trouble first
LIVE = (Verdict.ALIVE, Verdict.STARVED)
WORST_FIRST = (Verdict.DEAD, Verdict.SUSPECT, Verdict.UNKNOWN, Verdict.STARVED, Verdict.ALIVE)


@dataclass(frozen=True, slots=True)
class Status:
    """An answer, ready to be sent to any number of pollers."""

    code: int
    body: bytes


class StatusReader(Protocol):
    """What the status asks of a store."""

    async def job(self, job_id: str) -> Job | None: ...

    async def jobs(self, *, limit: int) -> list[Job]: ...

    async def overdue(
        self, queue: str, state: JobState, age: float, *, kinds: Collection[str] | None, limit: int
    ) -> list[JobRef]: ...


async def worker_status(board: Board, reader: StatusReader, settings: Settings) -> Status:
    """200 while a live worker is known; else 503 with `worker_running` false and the reason in `error`."""
    report, jobs, stuck, error = board.latest, [], None, ""
    try:
        jobs = await reader.jobs(limit=NEWEST)
        stuck = await oldest_stuck(report, reader) if report else None
    except StoreError as failure:
        error = f"the store does not answer: {failure}"
    error = error or trouble(report, _age(board), settings)
    running = not error
    body = {
        "worker_configured": configured(report),
        "worker_running": running,
        "workers": _workers(report),
        "recent_jobs": len(jobs),
        "status_counts": status_counts(report),
        "oldest_stuck_job": {"id": stuck.id, "created_at": wire.stamp(stuck.created_at)} if stuck else None,
        "jobs": [_job(job) for job in jobs],
        "findings": wire.findings(report, board.alerts),
    }
    return Status(200 if running else 503, wire.encode(body if running else body | {"error": error}))


def trouble(report: CycleReport | None, age: float, settings: Settings) -> str:
    """Why nobody can be said to work, or "". `age` is how long ago the report was published, in seconds."""
    if report is None:
        return "the first cycle has not ended yet; ask again in a few seconds"
    if age > stale_after(settings):
        return f"the last cycle ended {age:.0f} s ago, which is too long; see GET /livez and the watch's log"
    for name, reading in (("store", report.snapshot.store), ("workers' sessions", report.snapshot.workers)):
        if isinstance(reading, Unknown):
            return f"the {name} could not be read: {reading.reason}"
    live = [verdict for verdict in report.diagnosis.verdicts if verdict.verdict in LIVE]
    if all(rescues(verdict.session.queues) for verdict in live) and not _presumed(report, settings):
        causes = [finding.summary for finding in report.diagnosis.findings if finding.code.value.startswith("worker_")]
        cause = causes[0] if causes else "no live worker; start one with `gradewatch worker`"
        return f"{cause}; a rescue worker runs its jobs meanwhile" if live else cause
    return ""


def _presumed(report: CycleReport, settings: Settings) -> bool:
    """Is there a queue of another application whose worker opens no session, and whose jobs go on all the same? It has
    taken jobs before, and nothing is found against it."""
    beating = {q for v in report.diagnosis.verdicts if v.session.source is Source.BEATS for q in v.session.queues}
    accused = {f.queue for f in report.diagnosis.findings if f.severity is Severity.CRITICAL}
    store = report.snapshot.store
    ever = store.value.session_ever if isinstance(store, Known) else {}
    return any(
        queue.foreign is not None and name not in beating | accused and ever.get(name, False)
        for name, queue in settings.queues.items()
    )


def stale_after(settings: Settings) -> float:
    """Seconds after which a report is too old to say that all is well."""
    return max(30.0, 3 * settings.watch.interval + settings.store.timeout)


def configured(report: CycleReport | None) -> bool:
    """Has the platform a place for a worker, or has one ever opened a session?"""
    if report is None:
        return False
    seen = report.snapshot
    # A Deployment that does not exist is a target without any life: told of, and no place for a worker.
    targets = isinstance(seen.platform, Known) and any(
        (target.incarnation or not target.whole) and not rescues(target.queues) for target in seen.platform.value
    )
    ever = isinstance(seen.store, Known) and any(seen.store.value.session_ever.values())
    return targets or ever or any(not rescues(verdict.session.queues) for verdict in report.diagnosis.verdicts)


def status_counts(report: CycleReport | None) -> dict[str, int]:
    """Jobs by state over all queues that could be read: now in pending and running, ever in the final states."""
    counts = dict.fromkeys((state.value for state in JobState), 0)
    for facts in _known_queues(report):
        counts[JobState.PENDING] += facts.stats.pending
        counts[JobState.RUNNING] += facts.stats.running
        for state, total in facts.stats.finished_total.items():
            counts[state] = counts.get(state, 0) + total
    return counts


async def oldest_stuck(report: CycleReport, reader: StatusReader) -> Job | None:
    """The longest-waiting job that is beyond its timeout, held by a lost worker, or in a queue nobody serves."""
    repaired = {result.action.subject for result in report.results if result.outcome is Outcome.APPLIED}
    refs = [
        ref
        for facts in _known_queues(report)
        for ref in (*facts.overdue_pending, *facts.overdue_running, *facts.held_by_absent)
        if ref.id not in repaired
    ]
    refs += await _unserved(report, reader)
    if not refs:
        return None
    job = await reader.job(min(refs, key=lambda ref: ref.started_at or ref.run_at).id)
    return job if job and not job.state.finished else None


async def _unserved(report: CycleReport, reader: StatusReader) -> list[JobRef]:
    """The first in line of the queue that has waited longest without any live worker: one question at most."""
    served = {queue for v in report.diagnosis.verdicts if v.verdict in LIVE for queue in v.session.queues}
    waiting = [
        (facts.stats.oldest_pending_at, facts.stats.queue)
        for facts in _known_queues(report)
        if facts.stats.queue not in served and facts.stats.oldest_pending_at is not None
    ]
    return await reader.overdue(min(waiting)[1], JobState.PENDING, 0.0, kinds=None, limit=1) if waiting else []


def _known_queues(report: CycleReport | None) -> Sequence[QueueFacts]:
    readings = report.snapshot.queues.values() if report else ()
    return [reading.value for reading in readings if isinstance(reading, Known)]


def _age(board: Board) -> float:
    return board.mono() - board.published_mono if board.published_mono is not None else 0.0


def _workers(report: CycleReport | None) -> list[dict[str, Any]]:
    verdicts = report.diagnosis.verdicts if report else ()
    return [wire.worker(v) for v in sorted(verdicts, key=lambda v: WORST_FIRST.index(v.verdict))[:MAX_WORKERS]]


def _job(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "status": job.state.value,
        "created_at": wire.stamp(job.created_at),
        "started_at": wire.stamp(job.started_at),
        "finished_at": wire.stamp(job.finished_at),
        "error_message": job.error.message if job.error else None,
    }
