"""What was held back goes on record too, once: a repair suppressed every five seconds is one fact, not a thousand."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from gradewatch.model import Outcome, Result, Ruling
from gradewatch.ports import AuditLog

REMEMBERED = 20_000  # subjects held back of which the last reason is remembered
WRITTEN_AT_ONCE = 100  # lines written for one cycle; the rest of a mass suppression is the same fact again


class HeldBack:
    """Records suppressed and dry-run rulings when they are new or their reason changed."""

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit
        self._known: OrderedDict[tuple[str, str], str] = OrderedDict()

    async def record(self, rulings: Sequence[Ruling], *, sweep: str, by: str) -> list[Result]:
        """Results for those rulings that were not let through. Raises store errors."""
        results, fresh = [], []
        for ruling in rulings:
            if ruling.outcome is None:
                continue
            results.append(Result(ruling.action, ruling.outcome, ruling.why))
            if self._is_news(ruling):
                fresh.append(ruling)
        for ruling in fresh[:WRITTEN_AT_ONCE]:
            outcome = ruling.outcome or Outcome.SUPPRESSED
            await self._audit.record(ruling.action, outcome, sweep=sweep, by=by, detail=ruling.why)
        return results

    def _is_news(self, ruling: Ruling) -> bool:
        key = (ruling.action.kind.value, ruling.action.subject)
        news = self._known.get(key) != ruling.why
        self._known[key] = ruling.why
        self._known.move_to_end(key)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return news
