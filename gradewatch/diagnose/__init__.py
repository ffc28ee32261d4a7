"""PURE. From a snapshot to findings: the cause of a backlog, not only its length.

Each file here answers one question about the snapshot; this one puts the answers together. Nothing is concluded from
an Unknown reading.
"""

from __future__ import annotations

from collections.abc import Sequence

from gradewatch.config import Settings
from gradewatch.diagnose import jobs, platform, queues, repairs, store, workers
from gradewatch.diagnose.view import View
from gradewatch.model import ControlFacts, Diagnosis, Known, QueueFacts, Severity, Snapshot, WorkerVerdict
from gradewatch.verdicts import judge

__all__ = ["diagnose"]

GRAVEST_FIRST = (Severity.CRITICAL, Severity.WARNING, Severity.INFO)


def diagnose(snapshot: Snapshot, settings: Settings) -> Diagnosis:
    """Verdicts on the workers and every finding, the gravest first."""
    verdicts = judge(snapshot, settings)
    findings = [
        *store.findings(snapshot),
        *store.credential_findings(snapshot),
        *platform.findings(snapshot),
        *workers.findings(verdicts),
    ]
    control = snapshot.control.value if isinstance(snapshot.control, Known) else None
    if control is not None:
        for name, reading in snapshot.queues.items():
            if isinstance(reading, Known):
                view = _view(name, reading.value, verdicts, snapshot, control, settings)
                findings += [*queues.findings(view), *jobs.findings(view)]
        findings += repairs.findings(control, verdicts, settings)
    return Diagnosis(verdicts, tuple(sorted(findings, key=lambda f: GRAVEST_FIRST.index(f.severity))))


def _view(
    name: str,
    facts: QueueFacts,
    verdicts: Sequence[WorkerVerdict],
    snapshot: Snapshot,
    control: ControlFacts,
    settings: Settings,
) -> View:
    targets = snapshot.platform.value if isinstance(snapshot.platform, Known) else ()
    return View(
        settings.queues[name],
        facts,
        workers=tuple(v for v in verdicts if name in v.session.queues),
        targets=tuple(t for t in targets if name in t.queues),
        control=control,
        settings=settings,
        ever_seen=isinstance(snapshot.store, Known) and snapshot.store.value.session_ever.get(name, False),
    )
