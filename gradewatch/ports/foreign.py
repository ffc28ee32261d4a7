"""Queues that another application owns."""

from __future__ import annotations

from typing import Protocol

from gradewatch.model import (
    ForeignFacts,
)


class ForeignReader(Protocol):
    """What only a queue of another application has to tell. Asked after `JobReader.stats` of the same queue."""

    async def foreign(self, queue: str) -> ForeignFacts: ...


class Foreign(ForeignReader, Protocol):
    """What may be made in another application's database, when somebody asks for it."""

    def index_statements(self) -> list[str]: ...
    async def make_indexes(self) -> list[str]: ...
    def guard_statements(self) -> list[str]: ...
    async def make_guards(self) -> None: ...
