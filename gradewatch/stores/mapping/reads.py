"""The questions a watch asks of another application's rows, made of the table's few reads."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime

from gradewatch.config.foreign import ForeignSettings
from gradewatch.model import JobState
from gradewatch.stores.mapping.row import ForeignJob, read_row
from gradewatch.stores.mapping.table import ForeignTable, Select, Shape

SLACK = 64  # rows read beyond a page where times are text, some of which only look early


class Reads:
    """Over one table. `shape` is what was last seen of it."""

    def __init__(self, settings: ForeignSettings, table: ForeignTable) -> None:
        self.settings, self.table = settings, table
        self.shape = Shape(None, frozenset())

    def having(self, names: Sequence[str]) -> tuple[str, ...]:
        """Those of the candidates that the table can have."""
        columns = self.shape.columns
        return tuple(name for name in names if columns is None or name.partition(".")[0] in columns)

    async def oldest(
        self, state: JobState, now: datetime, *, kinds: Collection[str] | None, age: float | None, limit: int
    ) -> list[ForeignJob]:
        """Readable jobs in a state, longest there first; with `age`, only those there for more seconds than that."""
        names = self.having(self._since(state))
        before = None if age is None else now.fromtimestamp(now.timestamp() - age, now.tzinfo)
        what = Select(self.settings.words.of(state), None, kinds=kinds, before=before, limit=limit + self._slack())
        found = await asyncio.gather(
            *(self.table.select(replace(what, by=name, absent=names[:place])) for place, name in enumerate(names))
        )
        jobs = [read_row(self.settings, row, now) for rows in found for row in rows]
        dated = [(when, job) for job in jobs if not job.problem and (when := self.since(job))]
        late = [(when, job) for when, job in dated if before is None or when < before]
        return [job for _, job in sorted(late, key=lambda one: one[0])][:limit]

    def since(self, job: ForeignJob) -> datetime | None:
        """Since when the job is in its state, as far as its row tells."""
        return job.created if job.state is JobState.PENDING else job.started or job.heartbeat

    def _since(self, state: JobState) -> tuple[str, ...]:
        fields = self.settings.fields
        return (
            fields.created if state is JobState.PENDING else tuple(dict.fromkeys((*fields.started, *fields.heartbeat)))
        )

    def _slack(self) -> int:
        return 0 if self.table.exact_times else SLACK

    async def unreadable(self, now: datetime, limit: int) -> list[ForeignJob]:
        """Jobs that wait or run and have no time to tell since when."""
        found = await asyncio.gather(
            *(
                self.table.select(
                    Select(self.settings.words.of(state), None, absent=self.having(self._since(state)), limit=limit)
                )
                for state in (JobState.PENDING, JobState.RUNNING)
            )
        )
        jobs = (read_row(self.settings, row, now) for rows in found for row in rows)
        return [job for job in jobs if job.problem]

    async def newest(
        self, words: Sequence[str], now: datetime, limit: int, *, before: datetime | None = None
    ) -> list[ForeignJob]:
        """The newest by their creation, readable or not; no words: in whatever state."""
        names = self.having(self.settings.fields.created)
        if not names:
            return []
        rows = await self.table.select(Select(words, names[0], newest=True, before=before, limit=limit))
        return [read_row(self.settings, row, now) for row in rows]

    async def count(self, state: JobState, cap: int, kinds: Collection[str] | None = None) -> int:
        return await self.table.count(self.settings.words.of(state), kinds, cap)
