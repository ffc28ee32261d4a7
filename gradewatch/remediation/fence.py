"""End the sessions of lost workers before their jobs are given to others, so that a worker that comes back learns of it
with its next beat. A session that has beaten since it was read is left alone, and so are its jobs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import structlog

from gradewatch.model import Diagnosis, JobRef, Known, QueueFacts, Ruling, Snapshot, Verdict, queue_of
from gradewatch.ports import Sessions
from gradewatch.verdicts import absent

log = structlog.get_logger(__name__)


def to_fence(snapshot: Snapshot, diagnosis: Diagnosis, rulings: Sequence[Ruling]) -> frozenset[str]:
    """PURE. Absent sessions of which every job may be taken from them now. One whose jobs are to stay (on_lost = keep,
    a budget spent) or whose queues could not be read in full keeps its session too."""
    gone = absent(diagnosis.verdicts)
    taken = {r.action.subject for r in rulings if r.outcome is None}
    kept = {job.session_id for job in _held(snapshot) if job.id not in taken}
    return frozenset(
        v.session.id
        for v in diagnosis.verdicts
        if v.session.id in gone
        and v.session.id not in kept
        and all(_whole(snapshot, queue_of(served)) for served in v.session.queues)
    )


def _facts(snapshot: Snapshot, queue: str) -> QueueFacts | None:
    reading = snapshot.queues.get(queue)
    return reading.value if isinstance(reading, Known) else None


def _whole(snapshot: Snapshot, queue: str) -> bool:
    facts = _facts(snapshot, queue)
    return facts is not None and not facts.truncated


def _held(snapshot: Snapshot) -> Iterator[JobRef]:
    for queue in snapshot.queues:
        facts = _facts(snapshot, queue)
        yield from facts.held_by_absent if facts else ()


async def fence(sessions: Sessions, diagnosis: Diagnosis, ids: Iterable[str]) -> frozenset[str]:
    """End these sessions, guarded by the beats that were read. Returns those that came back to life meanwhile.
    Raises store errors."""
    back = set()
    by_id = {v.session.id: v for v in diagnosis.verdicts}
    for session_id in ids:
        verdict = by_id[session_id]
        reason = "died" if verdict.verdict is Verdict.DEAD else "silent"
        # A proved death needs no guard by beats: its last one may have arrived after its process had ended.
        beats = None if verdict.verdict is Verdict.DEAD else verdict.session.beats
        if await sessions.end_session(session_id, f"{reason}: {verdict.evidence}", beats=beats):
            log.warning("worker lost", worker=verdict.session.name, session=session_id, evidence=verdict.evidence)
        else:
            back.add(session_id)
    return frozenset(back)
