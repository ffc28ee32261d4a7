"""One queue: its stats, and the rows a repair might concern."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

from gradewatch.config import QueueSettings
from gradewatch.model import JobState, QueueFacts
from gradewatch.ports import ForeignReader, JobReader

PAGE = 2000  # rows of one list in one cycle; more follow in the next, which comes at once when these were repaired
RATE_WINDOW = 300.0  # seconds of arrivals remembered


class QueueProbe:
    """Reads one queue; remembers its recent totals to tell the arrival rate."""

    def __init__(self, queue: QueueSettings, page: int = PAGE, foreign: ForeignReader | None = None) -> None:
        self._queue = queue
        self._foreign = foreign if queue.foreign is not None else None
        self._page = page
        self._totals: deque[tuple[float, int]] = deque(maxlen=400)

    async def read(self, reader: JobReader, absent: Collection[str], mono: float) -> QueueFacts:
        """Raises store errors. `absent`: sessions whose jobs may be taken back."""
        queue, page = self._queue, self._page
        stats = await reader.stats(queue.name)
        oldest = overdue = long = held = []
        if stats.pending:
            oldest = await reader.overdue(queue.name, JobState.PENDING, 0.0, kinds=queue.watched, limit=1)
        if oldest and (stats.now - oldest[0].run_at).total_seconds() > queue.timeouts.schedule_to_start:
            limit = queue.timeouts.schedule_to_start
            overdue = await reader.overdue(queue.name, JobState.PENDING, limit, kinds=queue.watched, limit=page)
        if stats.running:
            limit = queue.timeouts.start_to_close
            long = await reader.overdue(queue.name, JobState.RUNNING, limit, kinds=queue.watched, limit=page)
            held = await reader.held(queue.name, absent, kinds=queue.watched, limit=page)
        return QueueFacts(
            stats,
            tuple(overdue),
            tuple(long),
            tuple(held),
            truncated=page in (len(overdue), len(long), len(held)),
            unclaimed_since=oldest[0].run_at if oldest else None,
            arrival_rate=self._rate(stats.enqueued_total, mono),
            foreign=await self._foreign.foreign(queue.name) if self._foreign is not None else None,
        )

    def _rate(self, total: int, mono: float) -> float | None:
        if self._totals and total < self._totals[-1][1]:
            self._totals.clear()  # totals never fall: this is another database, restored or made anew
        self._totals.append((mono, total))
        while mono - self._totals[0][0] > RATE_WINDOW:
            self._totals.popleft()
        since, first = self._totals[0]
        return (total - first) / (mono - since) if mono > since else None
