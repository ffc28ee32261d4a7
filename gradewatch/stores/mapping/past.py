"""What was repaired in a queue before, by the audit trail: how often a job was lost, and since when it waits."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from gradewatch.model import NotedRepair
from gradewatch.ports import RowNotes
from gradewatch.stores.mapping import shifting

LATE_WITHIN = 3600.0  # seconds after a repair in which a late write of the former worker is looked for
RECENT = 500  # repairs looked at for that, the newest
MOST = 10_000


class Past:
    """The repairs of one queue: the recent ones read anew each cycle, older ones for those jobs that are asked about.
    Raises store errors."""

    def __init__(self, queue: str, notes: RowNotes) -> None:
        self._queue, self._notes = queue, notes
        self.recent: list[NotedRepair] = []
        self._by_job: dict[str, list[NotedRepair]] = {}
        self.ahead = timedelta()  # how far the rows' clock is ahead of the trail's; what is told here is in the former

    async def refresh(self) -> None:
        recent = await self._notes.noted(self._queue, within=LATE_WITHIN, limit=RECENT)
        self.recent = [shifting.noted(repair, self.ahead) for repair in recent]
        self._by_job = {}

    def since(self, when: datetime) -> frozenset[str]:
        """Jobs that were repaired, or whose repair was undone, at that time or later."""
        return frozenset(r.note.subject for r in self.recent if max(r.at, r.undone_at or r.at) >= when)

    @property
    def repaired(self) -> frozenset[str]:
        """Jobs that were repaired lately."""
        return frozenset(repair.note.subject for repair in self.recent)

    async def know(self, job_ids: Iterable[str]) -> None:
        """Read what is not known yet of these jobs."""
        unknown = [job_id for job_id in dict.fromkeys(job_ids) if job_id not in self._by_job]
        if not unknown:
            return
        self._by_job |= {job_id: [] for job_id in unknown}
        for repair in await self._notes.noted(self._queue, subjects=unknown, limit=MOST):
            self._by_job[repair.note.subject].append(shifting.noted(repair, self.ahead))

    def lost(self, job_id: str) -> int:
        """How often its worker was lost: each such repair is one attempt charged. What was undone does not count, nor
        what came before a person put the job back."""
        count = 0
        for repair in self._by_job.get(job_id, ()):
            if repair.note.reason == "operator":
                break
            count += repair.note.action == "requeue" and repair.undone_at is None
        return count

    def waits_since(self, job_id: str) -> datetime | None:
        """When its wait last began anew: it was taken back, or a repair of it was undone."""
        repairs = self._by_job.get(job_id, ())
        times = [repair.undone_at for repair in repairs if repair.undone_at is not None]
        times += [repair.at for repair in repairs if repair.note.action == "requeue" and repair.undone_at is None]
        return max(times, default=None)
