"""Text for Prometheus, made by prometheus_client's own encoders, but in parts that can be cached and joined.

Sample lines are the same in both formats (no timestamps, exemplars or `_created`), so they are encoded once; HELP and
TYPE lines differ and are kept for each format.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from functools import lru_cache

from prometheus_client import generate_latest
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample
from prometheus_client.utils import floatToGoString

EOF = b"# EOF\n"


class Format(Enum):
    """A format of /metrics, by its Content-Type."""

    TEXT = "text/plain; version=0.0.4; charset=utf-8"
    OPENMETRICS = openmetrics.CONTENT_TYPE_LATEST

    @property
    def end(self) -> bytes:
        return EOF if self is Format.OPENMETRICS else b""


def negotiate(accept: str) -> Format:
    """The format an Accept header asks for; the plain one where the header makes no sense."""
    try:
        _, content_type = choose_encoder(accept)
    except (ValueError, TypeError):  # a version that is no version
        return Format.TEXT
    return Format.OPENMETRICS if content_type.startswith("application/openmetrics-text") else Format.TEXT


class _Only:
    """A registry of one family."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterator[Metric]:
        yield self._metric


def head(metric: Metric, form: Format) -> bytes:
    """The HELP and TYPE lines."""
    return _head(metric.name, metric.documentation, metric.type, form)


@lru_cache(maxsize=128)  # there are some thirty families
def _head(name: str, text: str, kind: str, form: Format) -> bytes:
    bare = _Only(Metric(name, text, kind))
    if form is Format.TEXT:
        return generate_latest(bare)
    encoded: bytes = openmetrics.generate_latest(bare)  # type: ignore[no-untyped-call]
    return encoded.removesuffix(EOF)


class Lines:
    """Encodes samples, remembering how each series' line begins: from one cycle to the next only values change, and
    the encoder spends nine tenths of its time on names and labels. Bounded by the series of the two last rounds."""

    def __init__(self) -> None:
        self._starts: dict[tuple[object, ...], str] = {}
        self._before: dict[tuple[object, ...], str] = {}

    def next_round(self) -> None:
        """Forget the series that the round now ending has not shown."""
        self._before, self._starts = self._starts, {}

    def start(self, sample: Sample) -> str:
        """The line of a series up to its value: name, labels and a blank."""
        key = (sample.name, *sample.labels.items())
        known = self._starts.get(key)
        if known is None:
            known = self._starts[key] = self._before.get(key) or _line_start(sample)
        return known

    def encode(self, metric: Metric) -> bytes:
        """The samples' lines, without `_created`: it would double the series and nobody reads it."""
        lines = [
            f"{self.start(sample)}{floatToGoString(sample.value)}\n"  # type: ignore[no-untyped-call]
            for sample in metric.samples
            if not sample.name.endswith("_created")
        ]
        return "".join(lines).encode()

    def whole(self, collector: Collector, form: Format) -> bytes:
        """Everything a small registry holds, without an end mark."""
        return b"".join(part for metric in collector.collect() for part in (head(metric, form), self.encode(metric)))


def _line_start(sample: Sample) -> str:
    alone = Metric("any", "", "unknown")
    alone.samples = [sample]
    line = generate_latest(_Only(alone)).decode().split("\n", 2)[2]
    return line[: line.rindex(" ") + 1]


class Sheet:
    """The lines of many families, in both formats, grown piece by piece."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._parts: dict[Format, list[bytes]] = {form: [] for form in Format}
        self._open = ""

    def add(self, piece: Metric) -> None:
        """Append a piece; pieces of one family must follow each other, and share one head."""
        if piece.name != self._open:
            self._open = piece.name
            for form, parts in self._parts.items():
                parts.append(head(piece, form))
        text = self._lines.encode(piece)
        for parts in self._parts.values():
            parts.append(text)

    def text(self, form: Format) -> bytes:
        return b"".join(self._parts[form])
