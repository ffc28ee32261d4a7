"""What metrics remember from one report to the next: the last good reading of each queue and of each probe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gradewatch.model import CycleReport, Known, QueueStats, Snapshot, Unknown

PROBES = ("store", "queue", "workers", "platform", "environment", "control")


def probe_times(snapshot: Snapshot) -> dict[str, float | None]:
    """For each probe, when its reading was taken (monotonic), or None when the reading is Unknown.

    `queue` is one probe over all queues: it has succeeded when each of them was read.
    """
    readings = {
        "store": snapshot.store,
        "workers": snapshot.workers,
        "platform": snapshot.platform,
        "environment": snapshot.environment,
        "control": snapshot.control,
    }
    times = {name: None if isinstance(r, Unknown) else r.mono for name, r in readings.items()}
    queues = list(snapshot.queues.values())
    failed = any(isinstance(r, Unknown) for r in queues) or not queues
    return times | {"queue": None if failed else min(r.mono for r in queues)}


@dataclass(frozen=True, slots=True)
class Seen:
    """The latest report, and what is still known from the ones before it.

    `queues` holds the last good stats of each queue of the latest snapshot; `last_success` Unix times by probe.
    """

    report: CycleReport | None = None
    queues: Mapping[str, Known[QueueStats]] = field(default_factory=dict)
    last_success: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(PROBES, 0.0))

    def after(self, report: CycleReport, mono: float) -> Seen:
        """This, brought up to date by a report received at `mono`."""
        queues: dict[str, Known[QueueStats]] = {}
        for name, reading in report.snapshot.queues.items():
            if isinstance(reading, Known):
                queues[name] = Known(reading.value.stats, reading.mono)
            elif name in self.queues:
                queues[name] = self.queues[name]
        wall = report.wall.timestamp()
        fresh = {
            probe: wall - max(0.0, mono - taken)
            for probe, taken in probe_times(report.snapshot).items()
            if taken is not None
        }
        return Seen(report, queues, {**self.last_success, **fresh})
