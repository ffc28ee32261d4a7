"""A store as a whole."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from gradewatch.ports.providers import PageCache, Papers, Spending, Troubles
from gradewatch.ports.queue import JobReader, JobWriter, Sessions
from gradewatch.ports.records import AuditLog, Control, Leases, RowNotes


class Upkeep(Protocol):
    async def migrate(self) -> list[str]:
        """Create or upgrade what the store needs; returns what was done. Safe to run from several processes."""
        ...

    def migration_text(self) -> str: ...

    async def purge(self, *, finished_age: float, audit_age: float, limit: int) -> int:
        """Delete finished jobs, ended sessions and audit entries older than that, in bounded batches; returns how
        many rows went."""
        ...


class Store(
    JobReader,
    JobWriter,
    Sessions,
    AuditLog,
    RowNotes,
    Control,
    Leases,
    Papers,
    PageCache,
    Spending,
    Troubles,
    Upkeep,
    Protocol,
):
    """Everything a store gives. Only `app` sees it whole; all others take the narrow port they need."""

    kind: str

    async def open(self) -> None:
        """Connect. Raises a store error when the schema is absent, older or newer; never creates anything."""
        ...

    async def close(self) -> None: ...


OpenStore = Callable[[], Awaitable[Store]]
