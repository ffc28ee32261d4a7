"""How the model's values look as JSON: the same shape on every path."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from gradewatch.board import Alert
from gradewatch.model import AuditEntry, CycleReport, Finding, Job, Known, PaperResult, WorkerVerdict

MAX_FINDINGS = 500
MAX_TOLD = 100  # findings and results in one event: it goes to every reader
MAX_DEPTH = 50  # of a payload or a result somebody stored


def stamp(at: datetime | None) -> str | None:
    """ISO 8601 in UTC, to the millisecond: 2026-03-02T09:00:00.000Z."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z") if at else None


def plain(value: Any, depth: int = MAX_DEPTH) -> Any:
    """A stored value as JSON can carry it: NaN and infinities become null, unknown types and the too deep, text."""
    if isinstance(value, bool | int | str) or value is None:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        return stamp(value)
    if depth > 0 and isinstance(value, Mapping):
        return {str(key): plain(item, depth - 1) for key, item in value.items()}
    if depth > 0 and isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes | bytearray):
        return [plain(item, depth - 1) for item in value]
    return str(value)


def encode(value: Any) -> bytes:
    """JSON in ASCII: any text can be carried, a lone surrogate included."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii")


def job_line(job: Job) -> dict[str, Any]:
    """A job in a list: without payload and result."""
    return {
        "id": job.id,
        "queue": job.queue,
        "kind": job.kind,
        "status": job.state.value,
        "priority": job.priority,
        "attempt": job.attempt,
        "max_attempts": job.max_attempts,
        "lost": job.lost,
        "session": job.session_id,
        "created_at": stamp(job.created_at),
        "run_at": stamp(job.run_at),
        "started_at": stamp(job.started_at),
        "finished_at": stamp(job.finished_at),
        "updated_at": stamp(job.updated_at),
        "progress": {"done": job.progress_done, "total": job.progress_total},
        "status_message": job.status_message,
        "error": asdict(job.error) if job.error else None,
    }


def job_page(job: Job, papers: Sequence[PaperResult]) -> dict[str, Any]:
    """A job by itself, with its papers."""
    return {
        **job_line(job),
        "payload": plain(job.payload),
        "result": plain(job.result),
        "papers": [plain(asdict(paper)) for paper in papers],
    }


def worker(verdict: WorkerVerdict) -> dict[str, Any]:
    session = verdict.session
    return {
        "name": session.name,
        "session": session.id,
        "verdict": verdict.verdict.value,
        "evidence": verdict.evidence,
        "queues": list(session.queues),
        "slots": session.slots,
        "busy": session.busy,
        "host": session.host,
        "pid": session.pid,
        "version": session.version,
        "started_at": stamp(session.started_at),
        "beat_at": stamp(session.beat_at),
    }


def alert(noted: Alert) -> dict[str, Any]:
    return {
        "name": noted.name,
        "code": noted.code.value if noted.code else None,
        "labels": dict(noted.labels),
        "starts_at": noted.starts_at,
        "received_at": stamp(noted.received_at),
    }


def finding(found: Finding, alerts: Sequence[Alert] = ()) -> dict[str, Any]:
    """A finding, with the firing alerts that are about it."""
    return {
        "code": found.code.value,
        "severity": found.severity.value,
        "subject": found.subject,
        "queue": found.queue,
        "summary": found.summary,
        "evidence": list(found.evidence),
        "fix": found.fix,
        "command": found.command,
        "runbook": found.runbook,
        "alerts": [alert(noted) for noted in alerts if noted.code is found.code],
    }


def findings(report: CycleReport | None, alerts: Sequence[Alert] = ()) -> list[dict[str, Any]]:
    return [finding(one, alerts) for one in report.diagnosis.findings[:MAX_FINDINGS]] if report else []


def audit_line(entry: AuditEntry) -> dict[str, Any]:
    """A repair from the audit trail, without the row it changed."""
    return {
        "id": entry.id,
        "sweep": entry.sweep,
        "at": stamp(entry.at),
        "by": entry.by,
        "action": entry.action,
        "queue": entry.queue,
        "subject": entry.subject,
        "outcome": entry.outcome.value,
        "reason": entry.reason,
        "message": entry.message,
        "verified": entry.verified,
        "undone_at": stamp(entry.undone_at),
    }


def cycle(report: CycleReport) -> dict[str, Any]:
    """What an event says of one cycle: counts and findings; the rest is asked for by path."""
    queues = {
        name: {"pending": reading.value.stats.pending, "running": reading.value.stats.running}
        if isinstance(reading, Known)
        else None
        for name, reading in report.snapshot.queues.items()
    }
    verdicts = [verdict.verdict.value for verdict in report.diagnosis.verdicts]
    results = [
        {
            "action": result.action.kind.value,
            "queue": result.action.queue,
            "subject": result.action.subject,
            "outcome": result.outcome.value,
            "reason": result.action.reason.value,
        }
        for result in report.results[:MAX_TOLD]
    ]
    return {
        "cycle": report.number,
        "sweep": report.sweep,
        "at": stamp(report.wall),
        "leader": report.leader,
        "queues": queues,
        "workers": {verdict: verdicts.count(verdict) for verdict in sorted(set(verdicts))},
        "findings": findings(report)[:MAX_TOLD],
        "findings_total": len(report.diagnosis.findings),
        "results": results,
        "results_total": len(report.results),
    }
