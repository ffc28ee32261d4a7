"""PURE. From a snapshot to findings: the cause of a backlog, not only its length.

Each file here answers one question about the snapshot; this one puts the answers together. Nothing is concluded from
an Unknown reading.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gradewatch.config import Settings
from gradewatch.diagnose import foreign, jobs, platform, providers, queues, repairs, store, workers
from gradewatch.diagnose.view import View
from gradewatch.model import (
    ControlFacts,
    Diagnosis,
    Known,
    QueueFacts,
    Severity,
    Snapshot,
    Unknown,
    WorkerVerdict,
    rescued,
)
from gradewatch.verdicts import judge

__all__ = ["diagnose"]

GRAVEST_FIRST = (Severity.CRITICAL, Severity.WARNING, Severity.INFO)


def diagnose(snapshot: Snapshot, settings: Settings, verdicts: tuple[WorkerVerdict, ...] | None = None) -> Diagnosis:
    """Verdicts on the workers and every finding, the gravest first. `verdicts`: those of this very snapshot, where they
    have been made already."""
    if verdicts is None:
        verdicts = judge(snapshot, settings)
    findings = [
        *store.findings(snapshot),
        *providers.findings(snapshot),
        *platform.findings(snapshot),
        *workers.findings(snapshot, verdicts),
    ]
    control = snapshot.control.value if isinstance(snapshot.control, Known) else None
    if control is not None:
        serving = _by_queue(verdicts)
        for name, reading in snapshot.queues.items():
            if isinstance(reading, Known):
                view = _view(name, reading.value, serving, snapshot, control, settings)
                findings += [*queues.findings(view), *jobs.findings(view), *foreign.findings(view)]
        targets = snapshot.platform.value if isinstance(snapshot.platform, Known) else ()
        findings += repairs.findings(control, verdicts, targets, settings)
    gravest_first = sorted(findings, key=lambda f: GRAVEST_FIRST.index(f.severity))
    once = {(f.code, f.subject): f for f in reversed(gravest_first)}  # one cause seen from two queues is one finding
    return Diagnosis(verdicts, tuple(reversed(once.values())))


def _by_queue(verdicts: Sequence[WorkerVerdict]) -> Mapping[str, Sequence[WorkerVerdict]]:
    serving: dict[str, list[WorkerVerdict]] = {}
    for verdict in verdicts:
        for queue in verdict.session.queues:
            serving.setdefault(queue, []).append(verdict)
    return serving


def _view(
    name: str,
    facts: QueueFacts,
    serving: Mapping[str, Sequence[WorkerVerdict]],
    snapshot: Snapshot,
    control: ControlFacts,
    settings: Settings,
) -> View:
    targets = snapshot.platform.value if isinstance(snapshot.platform, Known) else ()
    return View(
        settings.queues[name],
        facts,
        workers_read=isinstance(snapshot.workers, Known),
        workers=tuple(serving.get(name, ())),
        rescuers=tuple(worker for served in rescued([name]) for worker in serving.get(served, ())),
        targets=tuple(t for t in targets if name in t.queues),
        control=control,
        settings=settings,
        ever_seen=isinstance(snapshot.store, Unknown) or snapshot.store.value.session_ever.get(name, False),
    )
