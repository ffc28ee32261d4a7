"""The port RowNotes: the audit trail of rows that another application owns."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from gradewatch.model import NotedRepair, Outcome, RowNote
from gradewatch.stores.postgres import encode, rows

if TYPE_CHECKING:
    from gradewatch.stores.postgres.caller import Caller

_WORDS = ("action", "queue", "subject", "reason", "message")


class RowNoteLog:
    """The port over a `Caller`."""

    _caller: Caller

    async def note_repairs(self, notes: Sequence[RowNote], *, sweep: str, by: str) -> list[int]:
        if not notes:
            return []
        said = [_said(note) for note in notes]
        made: list[int] = await self._caller.call("note_repairs", notes=encode.dump(said), in_sweep=sweep, by_whom=by)
        return made

    async def unnote(self, ids: Sequence[int]) -> None:
        if ids:
            await self._caller.call("unnote", ids=encode.dump(list(ids)))

    async def noted(
        self,
        queue: str,
        *,
        subjects: Collection[str] | None = None,
        sweep: str | None = None,
        within: float | None = None,
        limit: int = 1000,
    ) -> list[NotedRepair]:
        found = await self._caller.call(
            "list_noted",
            of_queue=queue,
            subjects=None if subjects is None else list(subjects),
            of_sweep=sweep,
            span_micros=None if within is None else encode.micros(within),
            most=max(0, min(limit, 10_000)),
        )
        return [_noted(row) for row in found]

    async def note_undone(self, ids: Sequence[int], *, by: str) -> None:
        if ids:
            await self._caller.call("note_undone", ids=encode.dump(list(ids)), by_whom=by)


def _said(note: RowNote) -> dict[str, Any]:
    words: dict[str, Any] = {word: encode.text(getattr(note, word)) for word in _WORDS}
    return {**words, "outcome": note.outcome.value, "before": dict(note.before), "after": dict(note.after)}


def _noted(row: dict[str, Any]) -> NotedRepair:
    note = RowNote(
        **{word: row[word] for word in _WORDS},
        before=row["before"],
        after=row["after"],
        outcome=Outcome(row["outcome"]),
    )
    return NotedRepair(row["id"], row["sweep"], rows.when(row["at"]), note, rows.maybe(row["undone_at"]))
