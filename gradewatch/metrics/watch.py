"""The metrics of a process that watches: rendered once a report, in slices; served from memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from gradewatch.config import Settings
from gradewatch.metrics import exposition
from gradewatch.metrics.ages import AgeFamily, ages
from gradewatch.metrics.collect import by_label, pieces, queue_labels
from gradewatch.metrics.exposition import Format, Sheet
from gradewatch.metrics.local import ProviderMetrics, RemediationMetrics
from gradewatch.metrics.state import Seen
from gradewatch.model import CycleReport

SLICE = 0.0005  # seconds of rendering before the event loop gets its turn


@dataclass(frozen=True, slots=True)
class _Page:
    """One report, rendered: fixed text by format, and the ages still to be filled in."""

    fixed: dict[Format, bytes]
    ages: tuple[AgeFamily, ...]


class WatchMetrics:
    """`publish` takes each report, `run` renders it in the background, `scrape` answers from the latest rendering.

    A scrape never waits for a rendering and touches no store. `store` is the store's kind, for `gradewatch_store_up`.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        store: str,
        providers: Sequence[str] = (),
        mono: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._store, self._mono = settings, store, mono
        self._registry = CollectorRegistry()
        self._lines, self._own_lines = exposition.Lines(), exposition.Lines()
        self._repairs = RemediationMetrics(self._registry)
        self.providers = ProviderMetrics(self._registry, providers)
        self._seen = Seen()
        self._published = asyncio.Event()
        self._page = _Page(dict.fromkeys(Format, b""), ())
        for _ in self._rendering():  # nothing has been seen yet, so this is short
            pass

    def publish(self, report: CycleReport) -> None:
        """Take in a report. Cheap; call it on the event loop, once for each cycle."""
        self._seen = self._seen.after(report, self._mono())
        self._repairs.count(report.results, report.wall.timestamp())
        self._published.set()

    async def run(self) -> None:
        """Render each report as it comes, until cancelled. Of reports that come faster, the latest counts."""
        while True:
            await self._published.wait()
            self._published.clear()
            await self.render()

    async def render(self) -> None:
        """Render the latest report, giving way to the event loop every half millisecond.

        Not in a thread: the interpreter lock would change hands only every 5 ms, and each read and write of every
        request would wait that long.
        """
        turn = time.perf_counter()
        for _ in self._rendering():
            if time.perf_counter() - turn > SLICE:
                await asyncio.sleep(0)
                turn = time.perf_counter()

    def _rendering(self) -> Iterator[None]:
        """Make the next page and put it up at the end; between two steps the caller may pause."""
        seen, made = self._seen, Sheet(self._lines)
        self._lines.next_round()
        for piece in pieces(self._settings, self._store, seen):
            made.add(piece)
            yield
        fixed = {}
        for form in Format:
            fixed[form] = made.text(form)
            yield
        self._page = _Page(fixed, ages(by_label(queue_labels(self._settings, seen), seen), self._lines))

    def scrape(self, accept: str = "") -> tuple[bytes, str]:
        """The page and its Content-Type, for a request with that Accept header."""
        form = exposition.negotiate(accept)
        page, now = self._page, self._mono()
        parts = [page.fixed[form], *(family.text(form, now) for family in page.ages)]
        return b"".join([*parts, self._own_lines.whole(self._registry, form), form.end]), form.value
