"""What comes back from the functions, as values of the model. Times travel as ISO 8601 in UTC."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from itertools import repeat
from typing import Any, TypeVar

from gradewatch.model import (
    FINISHED,
    RUN_BOUNDS,
    WAIT_BOUNDS,
    ActionKind,
    Code,
    ControlFacts,
    CredentialFacts,
    Credit,
    Histogram,
    Job,
    JobRef,
    QueueStats,
)
from gradewatch.stores.rows import STATES, Reader, Row, error_of

Columns = Mapping[str, Sequence[Any]]
T = TypeVar("T")
_TIMES = ("created_at", "run_at", "started_at", "finished_at", "updated_at")

when = datetime.fromisoformat


def _shown(kept: Row) -> dict[str, Any]:
    """The row as people read it, its times as all others are written."""
    return {**kept, **{name: when(kept[name]).isoformat() for name in _TIMES if kept[name] is not None}}


def _as_it_is(value: Any) -> Any:
    return value


_READER = Reader(when, _as_it_is, _shown)
job, paper, session, audit_entry = _READER.job, _READER.paper, _READER.session, _READER.audit_entry
restarts, pause, maybe = _READER.restarts, _READER.pause, _READER.maybe


def jobs(columns: Columns) -> list[Job]:
    """Of {name: [value of each job]}."""
    sure = {name: map(when, columns[name]) for name in ("created_at", "run_at", "updated_at")}
    perhaps = {name: map(maybe, columns[name]) for name in ("started_at", "finished_at")}
    states = map(STATES.__getitem__, columns["state"])
    errors = map(error_of, columns["error_code"], columns["error_message"])
    return _each(Job, {**columns, **sure, **perhaps, "state": states, "error": errors})


def job_refs(columns: Columns) -> list[JobRef]:
    """Of {name: [value of each job]}; the lists are null where there is no job."""
    if not columns["id"]:
        return []
    states = map(STATES.__getitem__, columns["state"])
    times: dict[str, Iterable[Any]] = {
        "run_at": map(when, columns["run_at"]),
        "started_at": map(maybe, columns["started_at"]),
    }
    waited = (micros / 1_000_000 for micros in columns["waited"])
    seen = repeat((), len(columns["id"]))
    return _each(JobRef, {**columns, **times, "state": states, "waited": waited, "seen": seen})


def _each(kind: Callable[..., T], columns: Mapping[str, Iterable[Any]]) -> list[T]:
    names = (field.name for field in fields(kind))  # type: ignore[arg-type]
    return [kind(*values) for values in zip(*(columns[name] for name in names), strict=True)]


def control(facts: Row) -> ControlFacts:
    return ControlFacts(
        now=when(facts["now"]),
        pause=None if facts["pause"] is None else pause(facts["pause"]),
        resumed_at=maybe(facts["resumed_at"]),
        credits=tuple(Credit(kind, when(start), when(end)) for kind, start, end in facts["credits"]),
        restarts=restarts(facts["restarts"]),
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
