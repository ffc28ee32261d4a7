"""PURE. What is wrong with workers whose sessions we see."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from gradewatch.model import (
    CRASHED,
    Code,
    Finding,
    Session,
    Severity,
    Snapshot,
    Unknown,
    Verdict,
    WorkerVerdict,
    queue_of,
)
from gradewatch.verdicts import fleet_gate

LOOP = 3  # crashes on record that make a crash loop; the store shows those of the last five minutes


def findings(snapshot: Snapshot, verdicts: Sequence[WorkerVerdict]) -> Iterator[Finding]:
    yield from _crashes(snapshot, verdicts)
    held = fleet_gate(verdicts)
    if held:
        yield Finding(
            Code.MONITOR_SUSPECT,
            Severity.CRITICAL,
            "fleet",
            f"{held}: the monitor or the store is more likely at fault than all of them",
            tuple(f"{v.session.name}: {v.evidence}" for v in verdicts if v.verdict is not Verdict.ALIVE)[:20],
            "Nothing is repaired while this holds. Look at the network between the workers and the store, at the "
            "store itself, and at one worker's log. If they are really gone, start new ones: the gate opens by itself.",
            "gradewatch doctor",
        )
    for v in verdicts:
        if v.verdict is Verdict.STARVED:
            yield Finding(
                Code.WORKER_STARVED,
                Severity.WARNING,
                v.session.name,
                f"{v.session.name} is starved: something blocks its event loop",
                (v.evidence,),
                "It is not dead and keeps its jobs until start_to_close. Move CPU-bound or blocking work off its "
                "event loop, or give it more CPU.",
                f"py-spy dump --pid {v.session.pid}",
                queue=queue_of(v.session.queues[0]) if v.session.queues else None,
            )


def _crashes(snapshot: Snapshot, verdicts: Sequence[WorkerVerdict]) -> Iterator[Finding]:
    """Workers that have put their own crash on record: one, while it is not back; several, even when it is."""
    if isinstance(snapshot.workers, Unknown) or isinstance(snapshot.store, Unknown):
        return
    crashed: dict[str, list[Session]] = {}
    for reading in snapshot.workers.value:
        if reading.session.ended_at is not None and reading.session.end_reason.startswith(CRASHED):
            crashed.setdefault(reading.session.name, []).append(reading.session)
    back = {v.session.name for v in verdicts if v.verdict in (Verdict.ALIVE, Verdict.STARVED)}
    for name, sessions in crashed.items():
        loop = len(sessions) >= LOOP
        if loop or name not in back:
            yield _crash(name, sorted(sessions, key=_ended), loop, snapshot.store.value.now)


def _crash(name: str, sessions: Sequence[Session], loop: bool, now: datetime) -> Finding:
    last = sessions[-1]
    said = f"crashed {len(sessions)} times in the last minutes" if loop else "has crashed and is not back yet"
    return Finding(
        Code.WORKER_CRASH_LOOP if loop else Code.WORKER_NOT_RUNNING,
        Severity.CRITICAL if loop else Severity.WARNING,
        name,
        f"{name} {said}",
        tuple(f"{s.end_reason}, {(now - _ended(s)).total_seconds():.0f} s ago" for s in sessions[-5:]),
        "Read its log: the traceback is there. What supervises it starts it again, later each time.",
        queue=queue_of(last.queues[0]) if last.queues else None,
    )


def _ended(session: Session) -> datetime:
    return session.ended_at or session.started_at
