"""Realistic values of the model for tests: a healthy queue unless told otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from gradewatch.model import (
    RUN_BOUNDS,
    WAIT_BOUNDS,
    Action,
    ActionKind,
    Code,
    ControlFacts,
    CycleReport,
    Diagnosis,
    Finding,
    Histogram,
    JobRef,
    JobState,
    Known,
    Outcome,
    QueueFacts,
    QueueStats,
    Reading,
    Result,
    Session,
    Severity,
    Snapshot,
    StoreFacts,
    Target,
    Unknown,
    Verdict,
    WorkerReading,
    WorkerVerdict,
)

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def job_ref(id: str = "job-1", **changes: Any) -> JobRef:
    """A job that waits; give state, session_id, started_at … for another."""
    plain = JobRef(
        id=id,
        queue="default",
        kind="grade",
        state=JobState.PENDING,
        token=0,
        attempt=0,
        max_attempts=3,
        lost=0,
        session_id=None,
        run_at=ago(400),
        started_at=None,
    )
    return replace(plain, **changes)


def queue_stats(queue: str = "default", **changes: Any) -> QueueStats:
    """3 pending (the oldest for 40 s), 2 running (90 s), 10 finished."""
    plain = QueueStats(
        queue=queue,
        now=NOW,
        pending=3,
        running=2,
        depth_exact=True,
        oldest_pending_at=ago(40),
        oldest_running_at=ago(90),
        last_started_at=ago(5),
        last_finished_at=ago(7),
        enqueued_total=15,
        retries_total=1,
        finished_total={"succeeded": 8, "failed": 2},
        papers_total={"graded": 230, "needs_review": 9, "failed": 1},
        wait_seconds=Histogram(WAIT_BOUNDS, (5, 3, 2, 1, 0, 1, 0, 0, 0, 0, 0, 0), 41.5),
        run_seconds={
            "succeeded": Histogram(RUN_BOUNDS, (0, 0, 0, 2, 3, 3, 0, 0, 0, 0, 0, 0), 310.0),
            "failed": Histogram(RUN_BOUNDS, (0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1), 9000.0),
        },
    )
    return replace(plain, **changes)


def empty_stats(queue: str = "default") -> QueueStats:
    """A queue that nothing was ever put into."""
    return QueueStats(
        queue=queue,
        now=NOW,
        pending=0,
        running=0,
        depth_exact=True,
        oldest_pending_at=None,
        oldest_running_at=None,
        last_started_at=None,
        last_finished_at=None,
        wait_seconds=Histogram(WAIT_BOUNDS, (0,) * 12, 0.0),
    )


def session(id: str = "s1", **changes: Any) -> Session:
    """An open session with two slots, one busy, on the queue `default`."""
    plain = Session(
        id=id,
        name=f"worker-{id}",
        queues=("default",),
        slots=2,
        busy=1,
        host="host-1",
        pid=4711,
        version="0.1.0",
        target="",
        incarnation="",
        http="",
        started_at=ago(600),
        beat_at=ago(1),
        beats=200,
        loop_age=0.1,
        ended_at=None,
        end_reason="",
    )
    return replace(plain, **changes)


def verdict(of: Session | None = None, kind: Verdict = Verdict.ALIVE, evidence: str = "beat 1 s ago") -> WorkerVerdict:
    return WorkerVerdict(of or session(), kind, evidence)


def finding(code: Code = Code.WORKER_NOT_RUNNING, subject: str = "default", **changes: Any) -> Finding:
    plain = Finding(
        code=code,
        severity=Severity.CRITICAL,
        subject=subject,
        summary="no live worker serves the queue",
        evidence=("the last beat is 120 s old",),
        fix="start a worker",
        command="gradewatch worker",
        queue="default",
    )
    return replace(plain, **changes)


def result(kind: ActionKind = ActionKind.REQUEUE, outcome: Outcome = Outcome.APPLIED, job: str = "job-1") -> Result:
    """What came of one repair: of a job, or for RESTART of the target `worker-1`."""
    restart = kind is ActionKind.RESTART
    action = Action(
        kind=kind,
        queue="default",
        reason=Code.WORKER_NOT_RUNNING,
        message="its worker is gone",
        job=None if restart else job_ref(job),
        target="worker-1" if restart else None,
    )
    return Result(action, outcome)


def snapshot(
    queues: Iterable[QueueStats | QueueFacts | Unknown] | None = None,
    *,
    sessions: Sequence[Session] | None = None,
    mono: float = 1000.0,
    **changes: Any,
) -> Snapshot:
    """One queue and one worker, all read at `mono`; `changes` replace whole readings."""
    store = StoreFacts("sqlite", NOW, 0.0, session_ever={"default": True})
    workers = tuple(WorkerReading(s, 1.0, 60.0, 1.0) for s in ([session()] if sessions is None else sessions))
    targets: tuple[Target, ...] = ()
    plain = Snapshot(
        mono=mono,
        store=Known(store, mono),
        workers=Known(workers, mono),
        queues=_queues([queue_stats()] if queues is None else queues, mono),
        platform=Known(targets, mono),
        environment=Known((), mono),
        control=Known(ControlFacts(NOW), mono),
    )
    return replace(plain, **changes)


def _queues(given: Iterable[QueueStats | QueueFacts | Unknown], mono: float) -> Mapping[str, Reading[QueueFacts]]:
    """An Unknown stands for the queue `default`."""
    readings: dict[str, Reading[QueueFacts]] = {}
    for one in given:
        if isinstance(one, Unknown):
            readings["default"] = one
        else:
            facts = one if isinstance(one, QueueFacts) else QueueFacts(one)
            readings[facts.stats.queue] = Known(facts, mono)
    return readings


def report(
    of: Snapshot | None = None,
    *,
    verdicts: Sequence[WorkerVerdict] | None = None,
    findings: Sequence[Finding] = (),
    **changes: Any,
) -> CycleReport:
    """A cycle of a leading watch that found nothing and did nothing, its one worker alive."""
    plain = CycleReport(
        number=1,
        sweep="sweep-1",
        snapshot=of or snapshot(),
        diagnosis=Diagnosis(tuple([verdict()] if verdicts is None else verdicts), tuple(findings)),
        results=(),
        leader=True,
        seconds=0.02,
        wall=NOW,
        budget_remaining={"restart": 5.0, "expire": 1000.0, "requeue": 998.0, "fail": 1000.0},
        probe_seconds={"store": 0.001, "queue": 0.004},
    )
    return replace(plain, **changes)
