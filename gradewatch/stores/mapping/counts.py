"""What can be counted of a table without counters: arrivals and endings since this watch began to look."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from gradewatch.model import FINISHED, JobState
from gradewatch.stores.mapping.row import ForeignJob

FINISHERS = tuple(state for state in JobState if state in FINISHED)


class Tally:
    """Grows with each look; never falls. A restart of the watch begins at zero, as Prometheus' counters may."""

    def __init__(self) -> None:
        self.enqueued = 0
        self.finished = dict.fromkeys((state.value for state in FINISHERS), 0)
        self.last_finished: datetime | None = None
        self._created: datetime | None = None  # the newest creation counted
        self._ended: dict[str, datetime] = {}  # by state, the newest ending counted

    def see_created(self, newest: Iterable[ForeignJob], now: datetime) -> None:
        times = [job.created for job in newest if job.created is not None]
        if self._created is not None:
            self.enqueued += sum(when > self._created for when in times)
        self._created = max([*times, self._created or now]) if times else self._created or now

    def see_finished(self, state: JobState, newest: Iterable[ForeignJob], now: datetime) -> None:
        times = [job.finished for job in newest if job.finished is not None]
        seen = self._ended.get(state.value)
        if seen is not None:
            self.finished[state.value] += sum(when > seen for when in times)
        if times:
            self.last_finished = max([*times, *([self.last_finished] if self.last_finished else [])])
        self._ended[state.value] = max([*times, seen or now])
