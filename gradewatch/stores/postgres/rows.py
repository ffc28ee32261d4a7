"""What comes back from the functions, as values of the model. Times travel as ISO 8601 in UTC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from itertools import repeat
from typing import Any

from gradewatch.model import (
    FINISHED,
    RUN_BOUNDS,
    WAIT_BOUNDS,
    ActionKind,
    AuditEntry,
    Code,
    ControlFacts,
    CredentialFacts,
    Credit,
    Histogram,
    Job,
    JobError,
    JobRef,
    JobState,
    Outcome,
    PaperResult,
    Pause,
    QueueStats,
    RestartRecord,
    Session,
)

Row = Mapping[str, Any]
_STATES = {state.value: state for state in JobState}
_BEFORE_TIMES = ("created_at", "run_at", "started_at", "finished_at", "updated_at")

when = datetime.fromisoformat


def maybe(value: str | None) -> datetime | None:
    return None if value is None else when(value)


def _error(row: Row) -> JobError | None:
    return None if row["error_code"] is None else JobError(row["error_code"], row["error_message"] or "")


def job(row: Row) -> Job:
    return Job(
        id=row["id"],
        queue=row["queue"],
        kind=row["kind"],
        state=_STATES[row["state"]],
        priority=row["priority"],
        attempt=row["attempt"],
        max_attempts=row["max_attempts"],
        lost=row["lost"],
        token=row["token"],
        run_alone=row["run_alone"],
        session_id=row["session_id"],
        created_at=when(row["created_at"]),
        run_at=when(row["run_at"]),
        started_at=maybe(row["started_at"]),
        finished_at=maybe(row["finished_at"]),
        updated_at=when(row["updated_at"]),
        progress_done=row["progress_done"],
        progress_total=row["progress_total"],
        status_message=row["status_message"],
        payload=row["payload"],
        result=row["result"],
        error=_error(row),
    )


def job_refs(columns: Mapping[str, Sequence[Any]]) -> list[JobRef]:
    """Of {name: [value of each job]}; the lists are null where there is no job."""
    if not columns["id"]:
        return []
    read = {
        **columns,
        "state": map(_STATES.__getitem__, columns["state"]),
        "run_at": map(when, columns["run_at"]),
        "started_at": map(maybe, columns["started_at"]),
        "seen": repeat((), len(columns["id"])),
        "waited": (micros / 1_000_000 for micros in columns["waited"]),
    }
    return [JobRef(*values) for values in zip(*(read[field.name] for field in fields(JobRef)), strict=True)]


def paper(row: Row) -> PaperResult:
    return PaperResult(
        index=row["idx"],
        name=row["name"],
        status=row["status"],
        marks=None if row["marks"] is None else float(row["marks"]),
        max_marks=float(row["max_marks"]),
        detail=row["detail"],
        error=_error(row),
        times_written=row["times_written"],
    )


def session(row: Row) -> Session:
    return Session(
        id=row["id"],
        name=row["name"],
        queues=tuple(row["queues"]),
        slots=row["slots"],
        busy=row["busy"],
        host=row["host"],
        pid=row["pid"],
        version=row["version"],
        target=row["target"],
        incarnation=row["incarnation"],
        http=row["http"],
        started_at=when(row["started_at"]),
        beat_at=when(row["beat_at"]),
        beats=row["beats"],
        loop_age=float(row["loop_age"]),
        ended_at=maybe(row["ended_at"]),
        end_reason=row["end_reason"],
    )


def audit_entry(row: Row) -> AuditEntry:
    before = row["before"]
    if before is not None:
        before = before | {name: when(before[name]).isoformat() for name in _BEFORE_TIMES if before[name] is not None}
    return AuditEntry(
        id=row["id"],
        sweep=row["sweep"],
        at=when(row["at"]),
        by=row["by"],
        action=row["action"],
        queue=row["queue"],
        subject=row["subject"],
        outcome=Outcome(row["outcome"]),
        reason=row["reason"],
        message=row["message"],
        before=before,
        verified=row["verified"],
        undone_at=maybe(row["undone_at"]),
    )


def pause(row: Row) -> Pause:
    return Pause(started_at=when(row["started_at"]), until=maybe(row["until"]), by=row["by"], reason=row["reason"])


def control(facts: Row) -> ControlFacts:
    return ControlFacts(
        now=when(facts["now"]),
        pause=None if facts["pause"] is None else pause(facts["pause"]),
        resumed_at=maybe(facts["resumed_at"]),
        credits=tuple(Credit(kind, when(start), when(end)) for kind, start, end in facts["credits"]),
        restarts=tuple(
            RestartRecord(
                audit_id=row["id"],
                target=row["subject"],
                queue=row["queue"],
                at=when(row["at"]),
                outcome=Outcome(row["outcome"]),
                verified=row["verified"],
            )
            for row in facts["restarts"]
        ),
        spent={(ActionKind(action), queue): count for action, queue, count in facts["spent"]},
    )


def trouble(row: Row) -> CredentialFacts:
    problem = Code(row["code"]) if row["code"] else None
    return CredentialFacts(row["variable"], row["provider"], problem, row["message"], row["fix"])


def stats(queue: str, facts: Row) -> QueueStats:
    counts: dict[str, int] = {}
    times: dict[str, datetime | None] = {}
    buckets: dict[str, list[tuple[int, int, int]]] = {}
    for name, bucket, amount, total, at in facts["tallies"]:
        counts[name] = amount
        times[name] = maybe(at)
        buckets.setdefault(name, []).append((bucket, amount, total))
    (pending, pending_exact), (running, running_exact) = facts["pending"], facts["running"]
    return QueueStats(
        queue=queue,
        now=when(facts["now"]),
        pending=pending,
        running=running,
        depth_exact=pending_exact and running_exact,
        oldest_pending_at=maybe(facts["oldest_pending"]),
        oldest_running_at=maybe(facts["oldest_running"]),
        last_started_at=times.get("running"),
        last_finished_at=times.get("worked"),
        enqueued_total=counts.get("enqueued", 0),
        retries_total=counts.get("retries", 0),
        finished_total={state.value: counts.get(state.value, 0) for state in sorted(FINISHED)},
        papers_total={name.removeprefix("paper:"): n for name, n in counts.items() if name.startswith("paper:")},
        wait_seconds=_histogram(WAIT_BOUNDS, buckets.get("wait", [])),
        run_seconds={
            name.removeprefix("run:"): _histogram(RUN_BOUNDS, some)
            for name, some in buckets.items()
            if name.startswith("run:")
        },
    )


def _histogram(bounds: tuple[float, ...], buckets: list[tuple[int, int, int]]) -> Histogram:
    counts = [0] * (len(bounds) + 1)
    for bucket, observed, _ in buckets:
        counts[bucket] = observed
    return Histogram(bounds, tuple(counts), sum(total for _, _, total in buckets) / 1_000_000)
