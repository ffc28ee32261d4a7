"""The rows of the page's tables, those in trouble first. Ages are in seconds, as of the cycle they are shown with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gradewatch.config import QueueSettings, Settings
from gradewatch.http import wire
from gradewatch.http.page.headline import LEVELS
from gradewatch.http.page.memory import Memory
from gradewatch.http.page.words import short
from gradewatch.http.status import LIVE, WORST_FIRST
from gradewatch.model import CycleReport, Finding, Job, Known, QueueFacts, QueueStats, Unknown, WorkerVerdict

MAX_QUEUES = 200
JOBS_OF_ONE = 3  # jobs named of one worker
QUEUES_OF_ONE = 3
GRAVEST_FIRST = ("critical", "warning", "unknown", "notice", "ok")


def queue_rows(report: CycleReport | None, memory: Memory, settings: Settings) -> list[dict[str, Any]]:
    """Every queue, the gravest first; then those that have used up most of the wait they may have."""
    levels = _levels(report.diagnosis.findings if report else ())
    served: dict[str, int] = {}
    for verdict in memory.workers:
        if verdict.verdict in LIVE:
            for queue in verdict.session.queues:
                served[queue] = served.get(queue, 0) + 1
    rows = [
        _queue_row(queue, report, memory, levels.get(name, "ok")) | {"workers": served.get(name, 0)}
        for name, queue in settings.queues.items()
    ]
    return sorted(rows, key=_urgency)[:MAX_QUEUES]


def _urgency(row: Mapping[str, Any]) -> tuple[int, float, int, str]:
    waited = (row["oldest_pending"] or 0.0) / row["limit"]
    return GRAVEST_FIRST.index(row["level"]), -waited, -(row["pending"] or 0), row["name"]


def _levels(findings: Iterable[Finding]) -> dict[str, str]:
    """The gravest finding of each queue."""
    levels: dict[str, str] = {}
    for finding in findings:
        if finding.queue:
            known = levels.get(finding.queue, "ok")
            levels[finding.queue] = min(known, LEVELS[finding.severity], key=GRAVEST_FIRST.index)
    return levels


def _queue_row(queue: QueueSettings, report: CycleReport | None, memory: Memory, level: str) -> dict[str, Any]:
    now = report.snapshot.queues.get(queue.name) if report else None
    unread = short(now.reason) if isinstance(now, Unknown) else ""
    known = memory.queues.get(queue.name)
    row = {
        "name": short(queue.name),
        "level": "unknown" if (unread or known is None) and level == "ok" else level,
        "unread": unread,
        "paused": queue.paused,
        "limit": queue.timeouts.schedule_to_start,
        "depths": memory.depths(queue.name),
    }
    return row | _counts(known, report.snapshot.mono if report else 0.0)


def _counts(known: Known[QueueFacts] | None, mono: float) -> dict[str, Any]:
    if known is None:
        nothing = dict.fromkeys(("pending", "running", "oldest_pending", "oldest_running", "read_ago"))
        return {**nothing, "exact": False, "succeeded": 0, "failed": 0}
    stats, ago = known.value.stats, max(0.0, mono - known.mono)
    return {
        "pending": stats.pending,
        "running": stats.running,
        "exact": stats.depth_exact,
        "oldest_pending": _age(stats, ago, pending=True),
        "oldest_running": _age(stats, ago, pending=False),
        "read_ago": round(ago, 1),
        "succeeded": stats.finished_total.get("succeeded", 0),
        "failed": stats.finished_total.get("failed", 0),
    }


def _age(stats: QueueStats, ago: float, *, pending: bool) -> float | None:
    since = stats.oldest_pending_at if pending else stats.oldest_running_at
    return round(max(0.0, (stats.now - since).total_seconds()) + ago, 1) if since else None


def workers(memory: Memory, running: Sequence[Job], mono: float, *, match: str = "", limit: int = 50) -> dict[str, Any]:
    """How many there are by verdict, and those whose name, host, queue or verdict has `match` in it."""
    wanted = match.casefold()
    found = [verdict for verdict in memory.workers if not wanted or wanted in _searched(verdict)]
    found.sort(key=lambda v: (WORST_FIRST.index(v.verdict), v.session.name))
    verdicts = [verdict.verdict.value for verdict in memory.workers]
    jobs: dict[str, list[Job]] = {}
    for job in running:
        if job.session_id:
            jobs.setdefault(job.session_id, []).append(job)
    ago = max(0.0, mono - memory.workers_mono) if memory.workers else 0.0
    return {
        "total": len(verdicts),
        "matching": len(found),
        "verdicts": {verdict.value: verdicts.count(verdict.value) for verdict in WORST_FIRST if verdict in verdicts},
        "read_ago": round(ago, 1),
        "workers": [_worker_row(one, jobs.get(one.session.id, []), memory, ago) for one in found[:limit]],
    }


def _searched(verdict: WorkerVerdict) -> str:
    session = verdict.session
    return "\n".join((session.name, session.host, verdict.verdict.value, *session.queues)).casefold()


def _worker_row(verdict: WorkerVerdict, jobs: Sequence[Job], memory: Memory, ago: float) -> dict[str, Any]:
    session = verdict.session
    silent = (memory.workers_now - session.beat_at).total_seconds() if memory.workers_now else verdict.silent_seconds
    return {
        "session": session.id,
        "name": short(session.name),
        "verdict": verdict.verdict.value,
        "evidence": short(verdict.evidence),
        "queues": [short(queue) for queue in session.queues[:QUEUES_OF_ONE]],
        "queues_total": len(session.queues),
        "slots": session.slots,
        "busy": session.busy,
        "host": short(session.host),
        "pid": session.pid,
        "started_at": wire.stamp(session.started_at),
        "beat_ago": round(max(0.0, silent) + ago, 1),
        "jobs": [{"id": job.id, "done": job.progress_done, "total": job.progress_total} for job in jobs[:JOBS_OF_ONE]],
        "jobs_total": len(jobs),
    }
