"""Health in one sentence, with the cause and the fix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from gradewatch.config import Settings
from gradewatch.http.page.words import count, short, span
from gradewatch.http.status import LIVE, stale_after, trouble
from gradewatch.model import CycleReport, Finding, Known, QueueStats, Severity, Unknown

LEVELS = {Severity.CRITICAL: "critical", Severity.WARNING: "warning", Severity.INFO: "notice"}
TEXT = 1000  # characters of a cause or a fix


@dataclass(frozen=True, slots=True)
class Headline:
    """`level` is ok, notice, warning, critical or unknown; `code` and `subject` name the finding it speaks of."""

    level: str
    sentence: str
    cause: str = ""
    fix: str = ""
    command: str = ""
    runbook: str = ""
    code: str = ""
    subject: str = ""

    def wire(self) -> dict[str, Any]:
        return asdict(self)


def headline(report: CycleReport | None, age: float, settings: Settings) -> Headline:
    """`age`: seconds since that report was published. A watch that no longer looks cannot say that all is well."""
    if report is None:
        return Headline(
            "unknown",
            "The watch has just started: its first look at the queues has not ended yet",
            fix="Wait a few seconds. If this stays, read the watch's log.",
        )
    if age > stale_after(settings):
        return Headline(
            "critical",
            f"The watch itself has stopped looking: its last cycle ended {span(age)} ago",
            "what is shown below is as old as that, and nothing is repaired meanwhile",
            "Read the watch's log, then restart it.",
        )
    if report.diagnosis.findings:
        return _of_finding(report.diagnosis.findings)
    why = trouble(report, age, settings)
    if why:
        return Headline("warning", "No live worker is known", why, "Start one.", "gradewatch worker")
    unread = {name: one.reason for name, one in report.snapshot.queues.items() if isinstance(one, Unknown)}
    if unread:
        sentence = f"Cannot tell whether all is well: {short(', '.join(unread))} could not be read"
        return Headline("unknown", sentence, short("; ".join(unread.values()), TEXT))
    return Headline("ok", f"All is well: {_calm(report, settings)}")


def _of_finding(findings: Sequence[Finding]) -> Headline:
    first, others = findings[0], len(findings) - 1
    return Headline(
        LEVELS[first.severity],
        short(first.summary) + (f" – and {count(others, 'more finding')}" if others else ""),
        short("; ".join(first.evidence), TEXT),
        short(first.fix, TEXT),
        short(first.command),
        first.runbook,
        first.code.value,
        short(first.subject),
    )


def _calm(report: CycleReport, settings: Settings) -> str:
    stats = [reading.value.stats for reading in report.snapshot.queues.values() if isinstance(reading, Known)]
    pending, running = sum(s.pending for s in stats), sum(s.running for s in stats)
    live = sum(verdict.verdict in LIVE for verdict in report.diagnosis.verdicts)
    workers = f"{count(live, 'worker')} alive"
    if not pending and not running:
        return f"nothing waits, {workers}"
    waiting = f"{count(pending, 'job')} {'waits' if pending == 1 else 'wait'}" if pending else "nothing waits"
    running_now = f"{count(running, 'job')} {'runs' if running == 1 else 'run'}" if running else "none runs"
    return f"{waiting}, {running_now}, {workers}{_oldest(stats, settings)}"


def _oldest(stats: Sequence[QueueStats], settings: Settings) -> str:
    waits = [((s.now - s.oldest_pending_at).total_seconds(), s.queue) for s in stats if s.oldest_pending_at]
    if not waits:
        return ""
    age, queue = max(waits)
    limit = settings.queues[queue].timeouts.schedule_to_start if queue in settings.queues else None
    return f"; the oldest has waited {span(age)}" + (f" of the {span(limit)} it may" if limit else "")
