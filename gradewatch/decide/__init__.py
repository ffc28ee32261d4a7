"""PURE. From a snapshot and its diagnosis to the repairs that would help. Whether they may be taken, `limits` says.

Unknown blocks: an action that rests on an Unknown reading is not decided on. So do a first cycle after a start or an
outage, and the fleet gate.
"""

from __future__ import annotations

from collections import Counter

from gradewatch.config import Settings
from gradewatch.decide.late import expiries
from gradewatch.decide.lost import lost_jobs, outlived, recover, recoveries
from gradewatch.decide.restarts import restarts
from gradewatch.model import Action, Code, Diagnosis, Known, Snapshot, Unknown

__all__ = ["decide"]


def decide(snapshot: Snapshot, diagnosis: Diagnosis, settings: Settings) -> tuple[Action, ...]:
    """Restarts first, then jobs taken back, then jobs failed for being late."""
    if snapshot.observe_only or isinstance(snapshot.store, Unknown) or diagnosis.has(Code.MONITOR_SUSPECT):
        return ()
    if not isinstance(snapshot.control, Known):
        return ()
    control = snapshot.control.value
    actions = list(restarts(snapshot, diagnosis, control, settings))
    lost = lost_jobs(snapshot, diagnosis)
    survivors = outlived(snapshot)
    together = Counter(job.session_id for jobs in lost.values() for job in jobs)
    for name, reading in snapshot.queues.items():
        if isinstance(reading, Known):
            queue = settings.queues[name]
            late = tuple(expiries(queue, reading.value, diagnosis, control))
            expired = {a.subject for a in late}
            held = [job for job in lost.get(name, ()) if job.id not in expired]
            actions += recoveries(queue, held, diagnosis, together)
            known = expired | {job.id for job in held}
            left = [(job, words) for job, words in survivors.get(name, ()) if job.id not in known]
            actions += [recover(queue, job, words, alone=False) for job, words in left if queue.on_lost != "keep"]
            actions += late
    return tuple(actions)
