"""The metrics of a worker process, told by the worker itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Info
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from gradewatch.metrics import exposition
from gradewatch.metrics.collect import PAPER_OUTCOMES
from gradewatch.metrics.families import BUILD, PAPERS
from gradewatch.metrics.local import ProviderMetrics
from gradewatch.version import __version__


class WorkerMetrics:
    """Safe to call from any thread. `providers` are those configured; `wall` gives Unix time."""

    def __init__(self, *, providers: Sequence[str] = (), wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._registry, self._lines = CollectorRegistry(), exposition.Lines()
        Info(BUILD.name, BUILD.help, registry=self._registry).info({"version": __version__})
        self._up = Gauge("gradewatch_worker_up", "1 while this worker holds an open session.", registry=self._registry)
        self._beat = Gauge(
            "gradewatch_worker_last_heartbeat_timestamp_seconds",
            "When this worker's last beat was accepted by the store (Unix time); 0: never.",
            registry=self._registry,
        )
        self._papers = Counter(PAPERS.name, PAPERS.help, PAPERS.labels, registry=self._registry)
        for outcome in PAPER_OUTCOMES:
            self._papers.labels(outcome)
        self.providers = ProviderMetrics(self._registry, providers)

    def up(self, is_up: bool) -> None:
        """The session was opened, or has ended."""
        self._up.set(is_up)

    def beat(self) -> None:
        """The store accepted a beat."""
        self._beat.set(self._wall())

    def paper(self, outcome: str) -> None:
        """A paper was done and its result written. ValueError: an outcome that is none of PAPER_OUTCOMES."""
        if outcome not in PAPER_OUTCOMES:
            raise ValueError(f"paper outcome {outcome!r} is none of {', '.join(PAPER_OUTCOMES)}")
        self._papers.labels(outcome).inc()

    def part(self, form: exposition.Format) -> bytes:
        """What no watch tells too: for a page that has the store's totals already."""
        return self._lines.whole(_Without(self._registry, frozenset({BUILD.name, PAPERS.name})), form)

    def scrape(self, accept: str = "") -> tuple[bytes, str]:
        """The page and its Content-Type, for a request with that Accept header."""
        form = exposition.negotiate(accept)
        return self._lines.whole(self._registry, form) + form.end, form.value


class _Without(Collector):
    def __init__(self, registry: CollectorRegistry, names: frozenset[str]) -> None:
        self._registry, self._names = registry, names

    def collect(self) -> Iterator[Metric]:
        return (metric for metric in self._registry.collect() if metric.name not in self._names)
