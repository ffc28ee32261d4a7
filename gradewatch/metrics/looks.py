"""The metrics of one look, for a page that any of an application's processes may serve.

Two scrapes in a row may be answered by two processes. So everything here comes from a look that was taken for the
scrape, and nothing is remembered from one look to the next: a total that one process remembers and another has seen
grow would fall between two scrapes, and Prometheus would take that for a burst of work.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from gradewatch.config import Settings
from gradewatch.metrics.ages import ages
from gradewatch.metrics.collect import by_label, pieces, queue_labels
from gradewatch.metrics.exposition import Lines, Sheet, negotiate
from gradewatch.metrics.families import BUDGET_REMAINING, CYCLE_LAST, LEADER, PROBE_LAST_SUCCESS
from gradewatch.metrics.state import Seen
from gradewatch.metrics.worker import WorkerMetrics
from gradewatch.model import CycleReport

# An application is no watch: what tells whether one acts, goes on looking and may repair is the watch's alone, and an
# alert on it must neither fire for an application nor be kept quiet by it.
OF_A_WATCH = frozenset(f.name for f in (CYCLE_LAST, LEADER, PROBE_LAST_SUCCESS, BUDGET_REMAINING))


class LookMetrics:
    """`store` is the store's kind. Without any report, all of it says that nothing was read. Safe in a thread, one call
    at a time."""

    def __init__(self, settings: Settings, *, store: str, mono: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._store, self._mono = settings, store, mono
        self._lines = Lines()

    def page(self, report: CycleReport | None, accept: str = "", own: WorkerMetrics | None = None) -> tuple[bytes, str]:
        """The page and its Content-Type. `own`: the worker in this process, where it is the only one that this
        application has here."""
        seen = Seen() if report is None else Seen().after(report, self._mono())
        self._lines.next_round()
        form, made = negotiate(accept), Sheet(self._lines)
        for piece in pieces(self._settings, self._store, seen):
            if piece.name not in OF_A_WATCH:
                made.add(piece)
        growing = ages(by_label(queue_labels(self._settings, seen), seen), self._lines)
        parts = [made.text(form), *(family.text(form, self._mono()) for family in growing)]
        return b"".join([*parts, own.part(form) if own else b"", form.end]), form.value
