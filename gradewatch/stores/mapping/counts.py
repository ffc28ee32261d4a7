"""What can be counted of a table without counters: arrivals and endings since this watch began to look."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from gradewatch.model import FINISHED, JobState
from gradewatch.stores.mapping.row import AHEAD, ForeignJob
from gradewatch.stores.mapping.times import EARLIEST

FINISHERS = tuple(state for state in JobState if state in FINISHED)


class Tally:
    """Grows with each look; never falls. A restart of the watch begins at zero, as Prometheus' counters may."""

    def __init__(self) -> None:
        self.enqueued = 0
        self.finished = dict.fromkeys((state.value for state in FINISHERS), 0)
        self.last_finished: datetime | None = None
        self.behind = timedelta()  # by which new jobs were dated before the look at which they were not there yet
        self._looked: datetime | None = None
        self._created: datetime | None = None  # the newest creation counted
        self._ended: dict[str, datetime] = {}  # by state, the newest ending counted

    def see_created(self, newest: Iterable[ForeignJob], now: datetime) -> None:
        times = [job.created for job in newest if job.created is not None]
        if self._created is not None:
            arrived = [when for when in times if when > self._created]
            self.enqueued += len(arrived)
            if arrived and self._looked is not None:
                lag = self._looked - max(arrived)
                self.behind = lag if lag > AHEAD else timedelta()
        self._looked = now
        self._created = max([*times, self._created or EARLIEST])

    def see_finished(self, state: JobState, newest: Iterable[ForeignJob]) -> None:
        times = [job.finished for job in newest if job.finished is not None]
        seen = self._ended.get(state.value)
        if seen is not None:
            self.finished[state.value] += sum(when > seen for when in times)
        if times:
            self.last_finished = max([*times, *([self.last_finished] if self.last_finished else [])])
        self._ended[state.value] = max([*times, seen or EARLIEST])
