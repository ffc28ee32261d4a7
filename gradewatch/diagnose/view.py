"""PURE. One queue with all that bears on it, as the questions about it want to see it."""

from __future__ import annotations

from dataclasses import dataclass

from gradewatch.config import QueueSettings, Settings
from gradewatch.history import credited_age
from gradewatch.model import Code, ControlFacts, Finding, QueueFacts, Severity, Target, Verdict, WorkerVerdict


@dataclass(frozen=True)
class View:
    """One queue with all that bears on it."""

    queue: QueueSettings
    facts: QueueFacts
    workers: tuple[WorkerVerdict, ...]  # those serving this queue
    targets: tuple[Target, ...]
    control: ControlFacts
    settings: Settings
    ever_seen: bool
    workers_read: bool = True
    rescuers: tuple[WorkerVerdict, ...] = ()  # those that stand in for this queue's own workers

    @property
    def live(self) -> tuple[WorkerVerdict, ...]:
        return tuple(w for w in self.workers if w.verdict in (Verdict.ALIVE, Verdict.STARVED))

    @property
    def waited(self) -> float:
        """Seconds the oldest eligible job of a watched kind has waited, credits taken off."""
        since = self.facts.unclaimed_since
        return credited_age(since, self.facts.stats.now, self.control.credits) if since else 0.0

    @property
    def starting(self) -> bool:
        grace = self.settings.remediation.start_grace
        return any(t.running and t.running_seconds < grace for t in self.targets)

    def finding(
        self, code: Code, severity: Severity, summary: str, evidence: tuple[str, ...], fix: str, command: str = ""
    ) -> Finding:
        """A finding whose subject is this queue."""
        return Finding(code, severity, self.queue.name, summary, evidence, fix, command, queue=self.queue.name)
