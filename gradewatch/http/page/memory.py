"""What the page remembers from one cycle to the next: last good readings, depths for the sparklines, what happened.

All of it is bounded and lost with the process; what must last is in the store.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from gradewatch.http.page.timeline import Happening, differences
from gradewatch.model import CycleReport, Finding, Known, QueueFacts, StoreFacts, Unknown, WorkerVerdict

SAMPLES = 40  # depths a sparkline is drawn of
SPACING = 15.0  # seconds between two of them: ten minutes in all
HAPPENINGS = 100


@dataclass(frozen=True, slots=True)
class Away:
    """The store does not answer: since when this process has seen that, and why."""

    since: datetime
    reason: str


class Memory:
    """Told of each report, on the event loop, so it does little."""

    def __init__(self) -> None:
        self.queues: dict[str, Known[QueueFacts]] = {}
        self.workers: tuple[WorkerVerdict, ...] = ()
        self.workers_mono = 0.0
        self.workers_now: datetime | None = None  # by the store's clock, when the workers were read
        self.store_kind = ""
        self.away: Away | None = None
        self.happenings: deque[Happening] = deque(maxlen=HAPPENINGS)
        self._depths: dict[str, deque[int]] = {}
        self._sampled = -SPACING
        self._findings: dict[tuple[str, str], Finding] = {}

    def note(self, report: CycleReport) -> None:
        """Keep what this cycle could read; what it could not stays as it was read last."""
        seen = report.snapshot
        self._note_store(seen.store, report.wall)
        if isinstance(seen.workers, Known):
            self.workers, self.workers_mono = report.diagnosis.verdicts, seen.workers.mono
            self.workers_now = seen.store.value.now if isinstance(seen.store, Known) else self.workers_now
        known = {name: reading for name, reading in seen.queues.items() if isinstance(reading, Known)}
        self.queues.update(known)
        self._sample(known, seen.mono)
        now = {(finding.code.value, finding.subject): finding for finding in report.diagnosis.findings}
        self.happenings.extend(differences(self._findings, now, report.wall))
        self._findings = now

    def depths(self, queue: str) -> list[int]:
        """Jobs waiting and running, oldest first, the last one being now."""
        return list(self._depths.get(queue, ()))

    def _note_store(self, reading: Known[StoreFacts] | Unknown, wall: datetime) -> None:
        if isinstance(reading, Known):
            self.store_kind, self.away = reading.value.kind, None
        else:
            self.away = Away(self.away.since if self.away else wall, reading.reason)

    def _sample(self, known: Mapping[str, Known[QueueFacts]], mono: float) -> None:
        """The newest depth is always the last; one more is begun every SPACING seconds."""
        step = mono - self._sampled >= SPACING
        if step:
            self._sampled = mono
        for name, reading in known.items():
            depths = self._depths.setdefault(name, deque(maxlen=SAMPLES))
            depth = reading.value.stats.pending + reading.value.stats.running
            if step or not depths:
                depths.append(depth)
            else:
                depths[-1] = depth
