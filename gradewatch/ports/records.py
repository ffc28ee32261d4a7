"""What a watch keeps of itself: the audit trail, pauses and credits, leases."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from gradewatch.model import (
    Action,
    ActionKind,
    AuditEntry,
    ControlFacts,
    Credit,
    LeaseGrant,
    NotedRepair,
    Outcome,
    Pause,
    RowNote,
)


class AuditLog(Protocol):
    async def record(
        self,
        action: Action,
        outcome: Outcome,
        *,
        sweep: str,
        by: str,
        detail: str = "",
    ) -> int:
        """Write one entry (suppressed, dry run, restart …); returns its id."""
        ...

    async def amend(self, audit_id: int, *, outcome: Outcome | None = None, verified: bool | None = None) -> None: ...

    async def audit(
        self, *, limit: int = 100, sweep: str | None = None, subject: str | None = None, before: int | None = None
    ) -> list[AuditEntry]:
        """Newest first."""
        ...

    async def undo(self, sweep: str, *, by: str) -> list[tuple[AuditEntry, bool]]:
        """Put back each row of a sweep that is still as the repair left it, in one guarded write each; an entry
        already undone is skipped. A pending job returns with a fresh waiting clock; a job that was running returns
        as pending with that attempt given back, because its worker was told to stop."""
        ...


class RowNotes(Protocol):
    """The audit trail of rows that are not ours, which lie in another place than the trail: written before the row is
    touched, so that a watch that dies in the act has spent its budget and can be undone."""

    async def note_repairs(self, notes: Sequence[RowNote], *, sweep: str, by: str) -> list[int]:
        """One audit entry each, with its note, in one transaction; returns their ids in order."""
        ...

    async def unnote(self, ids: Sequence[int]) -> None:
        """These came to nothing: somebody was faster. Their outcome becomes NOOP, their notes go."""
        ...

    async def noted(
        self,
        queue: str,
        *,
        subjects: Collection[str] | None = None,
        sweep: str | None = None,
        within: float | None = None,
        limit: int = 1000,
    ) -> list[NotedRepair]:
        """Applied repairs of a queue's rows, the newest first: of these subjects, of this sweep, of the last `within`
        seconds."""
        ...

    async def note_undone(self, ids: Sequence[int], *, by: str) -> None:
        """Mark these entries as undone, and write an entry `undo` for each."""
        ...


class Control(Protocol):
    async def control(self, windows: Mapping[ActionKind, float]) -> ControlFacts:
        """Pause, credits, recent restarts, and the applied repairs per (action, queue) in each action's window of
        seconds."""
        ...

    async def pause(self, seconds: float | None, *, by: str, reason: str = "") -> Pause: ...

    async def resume(self, *, by: str) -> bool:
        """False when nothing was paused."""
        ...

    async def add_credit(self, credit: Credit) -> None: ...


class Leases(Protocol):
    async def acquire(self, name: str, holder: str, ttl: float) -> LeaseGrant | None:
        """Take or renew; None while somebody else holds it. Expiry is by the store's clock."""
        ...

    async def release(self, name: str, holder: str) -> None: ...
