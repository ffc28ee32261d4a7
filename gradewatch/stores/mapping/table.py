"""What a queue of another application must be able to do, whatever holds it: a handful of reads and one guarded write.

Implementations know a driver and no meaning; the meaning is in `row` and `writes`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

Row = Mapping[str, Any]
"""The fields that were asked for, as stored. A field that a row lacks is absent or None."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The table as it is. `columns`: the names it has, or None where rows may have any; `indexed`: fields that begin
    an index."""

    columns: frozenset[str] | None
    indexed: frozenset[str]


@dataclass(frozen=True, slots=True)
class Select:
    """Rows in one of the words, ordered by `by` (None: in no order), of those whose `absent` fields are all null and
    whose `by` field is not. `before`: only those whose `by` is earlier; `after`: only those where it is later. With
    `strange`, `absent` takes fields as well that hold what is no time, as far as the table can tell such rows cheaply.
    """

    words: Sequence[str]
    by: str | None
    absent: Sequence[str] = ()
    kinds: Collection[str] | None = None
    before: datetime | None = None
    after: datetime | None = None
    newest: bool = False
    strange: bool = False
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Write:
    """A change of one row, made only while each field of `guard` is still as it was read."""

    guard: Row
    values: Row


class ForeignTable(Protocol):
    """Raises store errors only. Every call has a deadline."""

    kind: str

    @property
    def exact_times(self) -> bool:
        """False: time fields may be text of any form, so that `before` and `after` cut only roughly."""
        ...

    async def now(self) -> datetime:
        """The time by the clock of whatever holds the rows."""
        ...

    async def shape(self) -> Shape:
        """Raises SchemaMismatch where the table is not there, AccessDenied where its rows are hidden from us."""
        ...

    async def count(self, words: Sequence[str], kinds: Collection[str] | None, cap: int) -> int:
        """How many rows are in one of the words, counted to `cap` at most."""
        ...

    async def select(self, what: Select) -> list[Row]: ...

    async def find(self, ids: Sequence[Any]) -> list[Row]:
        """The rows with these ids, as stored or as text. An id that stands twice gives two rows."""
        ...

    async def write(self, writes: Sequence[Write]) -> list[bool]:
        """Each by itself, in one round trip where that can be; False where the row was no longer so, and is untouched.
        Which of them were made is known, or StoreUnavailable is raised."""
        ...

    def index_statements(self) -> list[str]:
        """What `migrate --indexes` would run, as text for people."""
        ...

    async def make_indexes(self) -> list[str]:
        """Create what is missing; returns what was done. Beside the guard, the only thing ever created in another
        application's place, and only when somebody asks."""
        ...

    def guard_statement(self) -> str:
        """A guard against late writes, as text for people; empty where there is no such thing."""
        ...

    async def make_guard(self) -> None:
        """Install it. AccessDenied where this role, or this way in, may not."""
        ...

    async def close(self) -> None: ...
