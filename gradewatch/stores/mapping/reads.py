"""The questions a watch asks of another application's rows, made of the table's few reads."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from gradewatch.config.foreign import ForeignSettings
from gradewatch.model import JobState
from gradewatch.stores.mapping.row import AHEAD, ForeignJob, doubled, read_row, value
from gradewatch.stores.mapping.table import ForeignTable, Row, Select, Shape

DOUBLES = 50  # ids that stand twice which are remembered
GROWTH = 4  # how many times larger the next page is, where one was full of rows that cannot be used
MOST = 20_000  # rows of the largest page
SLACK = 64  # rows read beyond a page where times are text, some of which only look early


class Reads:
    """Over one table. `shape` is what was last seen of it; `doubles` are ids seen on more than one row, and on how
    many: such a job cannot be told from its double, and is left alone."""

    def __init__(self, settings: ForeignSettings, table: ForeignTable) -> None:
        self.settings, self.table = settings, table
        self.shape = Shape(None, frozenset())
        self.doubles: dict[str, int] = {}

    def having(self, names: Sequence[str]) -> tuple[str, ...]:
        """Those of the candidates that the table can have."""
        columns = self.shape.columns
        return tuple(name for name in names if columns is None or name.partition(".")[0] in columns)

    async def oldest(
        self, state: JobState, now: datetime, *, kinds: Collection[str] | None, age: float | None, limit: int
    ) -> list[ForeignJob]:
        """Readable jobs in a state, longest there first; with `age`, only those there for more seconds than that. Where
        rows that cannot be used fill a page, a larger one is read: they hide nothing behind them."""
        names = self.having(self._since(state))
        before = None if age is None else now - timedelta(seconds=age)
        what = Select(self.settings.words.of(state), None, kinds=kinds, before=before)

        def usable(rows: Sequence[Row]) -> list[ForeignJob]:
            jobs = [job for row in rows if not (job := read_row(self.settings, row, now)).problem]
            self.doubles |= dict.fromkeys(doubled(jobs), 2)
            dated = [(when, job) for job in jobs if job.id not in self.doubles and (when := self.since(job))]
            late = [(when, job) for when, job in dated if before is None or when < before]
            return [job for _, job in sorted(late, key=lambda one: one[0])]

        asked = [replace(what, by=name, absent=names[:place]) for place, name in enumerate(names)]
        return await self._enough(asked, usable, limit)

    async def _enough(
        self, asked: Sequence[Select], usable: Callable[[Sequence[Row]], list[ForeignJob]], limit: int
    ) -> list[ForeignJob]:
        size = limit + (0 if self.table.exact_times else SLACK)
        while True:
            found = await asyncio.gather(*(self.table.select(replace(what, limit=size)) for what in asked))
            jobs = usable([row for rows in found for row in rows])
            if len(jobs) >= limit or size >= MOST or all(len(rows) < size for rows in found):
                return jobs[:limit]
            size = min(MOST, size * GROWTH)

    def since(self, job: ForeignJob) -> datetime | None:
        """Since when the job is in its state, as far as its row tells."""
        return job.created if job.state is JobState.PENDING else job.started or job.heartbeat

    def _since(self, state: JobState) -> tuple[str, ...]:
        fields = self.settings.fields
        return (
            fields.created if state is JobState.PENDING else tuple(dict.fromkeys((*fields.started, *fields.heartbeat)))
        )

    async def unreadable(self, now: datetime, limit: int) -> list[ForeignJob]:
        """Jobs that wait or run, and either have no time to tell since when, or one in the future."""
        asked = []
        for state in (JobState.PENDING, JobState.RUNNING):
            words, names = self.settings.words.of(state), self.having(self._since(state))
            asked.append(Select(words, None, absent=names, strange=True, limit=limit))
            asked += [Select(words, name, after=now + AHEAD, limit=limit) for name in names]
        found = await asyncio.gather(*map(self.table.select, asked))
        jobs = (read_row(self.settings, row, now) for rows in found for row in rows)
        return [job for job in jobs if job.problem]

    async def newest(self, words: Sequence[str], now: datetime, limit: int) -> list[ForeignJob]:
        """The newest by their creation, readable or not; no words: in whatever state."""
        names = self.having(self.settings.fields.created)
        if not names:
            return []
        rows = await self.table.select(Select(words, names[0], newest=True, limit=limit))
        return [read_row(self.settings, row, now) for row in rows]

    async def page(
        self, words: Sequence[str], now: datetime, limit: int, last: tuple[datetime, str] | None
    ) -> list[ForeignJob]:
        """The newest by their creation, of those that follow on `last`, a job's creation and id."""
        names = self.having(self.settings.fields.created)
        if last is None or not names:
            return await self.newest(words, now, limit)
        begins = last

        def usable(rows: Sequence[Row]) -> list[ForeignJob]:
            jobs = [job for row in rows if (job := read_row(self.settings, row, now)).created is not None]
            after = [(job.created or now, job.id, job) for job in jobs if (job.created or now, job.id) < begins]
            return [job for _, _, job in sorted(after, key=lambda one: one[:2], reverse=True)]

        # Rows inserted together were created together, and what is stored may be finer than what is shown.
        what = Select(words, names[0], newest=True, before=begins[0] + timedelta(milliseconds=1))
        return await self._enough([what], usable, limit)

    async def count(self, state: JobState, cap: int, kinds: Collection[str] | None = None) -> int:
        return await self.table.count(self.settings.words.of(state), kinds, cap)

    async def check_doubles(self) -> None:
        """Forget those that are none any more; bounded, because each is asked for."""
        asked = list(self.doubles)[:DOUBLES]
        rows = await self.table.find(asked) if asked else []
        found = Counter(str(value(row, self.settings.fields.id)) for row in rows)
        self.doubles = {job_id: found[job_id] for job_id in asked if found[job_id] > 1}
