"""What was held back goes on record too, once: a repair suppressed every five seconds is one fact, not a thousand."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from gradewatch.model import Result, Ruling
from gradewatch.ports import AuditLog

REMEMBERED = 20_000  # subjects held back of which the last reason is remembered
WRITTEN_AT_ONCE = 100  # lines written for one cycle; the rest of a mass suppression is the same fact again


class HeldBack:
    """Records suppressed and dry-run rulings when they are new, or new again, or their reason changed."""

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit
        self._known: OrderedDict[tuple[str, str], str] = OrderedDict()

    async def record(self, rulings: Sequence[Ruling], *, sweep: str, by: str) -> list[Result]:
        """Results for those rulings that were not let through. Raises store errors."""
        results, written = [], 0
        for ruling in rulings:
            if ruling.outcome is None:
                if self._known:
                    self._known.pop(_key(ruling), None)  # held back again later, it is news
                continue
            results.append(Result(ruling.action, ruling.outcome, ruling.why))
            if self._known.get(_key(ruling)) != ruling.why and written < WRITTEN_AT_ONCE:
                await self._audit.record(ruling.action, ruling.outcome, sweep=sweep, by=by, detail=ruling.why)
                written += 1
            self._remember(ruling)
        return results

    def _remember(self, ruling: Ruling) -> None:
        """Only once it is written: what the store refused is news still."""
        self._known[_key(ruling)] = ruling.why
        self._known.move_to_end(_key(ruling))
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)


def _key(ruling: Ruling) -> tuple[str, str]:
    return ruling.action.kind.value, ruling.action.subject
