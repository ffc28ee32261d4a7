"""Ages that grow between readings: line beginnings rendered once a cycle, the values filled in at each scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from gradewatch.metrics.exposition import Format, Lines, head
from gradewatch.metrics.families import OLDEST_PENDING, OLDEST_RUNNING, Family
from gradewatch.model import Known, QueueStats

Readings = Sequence[Known[QueueStats]]


@dataclass(frozen=True, slots=True)
class AgeFamily:
    """One family: its head by format, and for each series the line up to its value and when its age was nought
    (monotonic), or None for an age that is 0."""

    heads: Mapping[Format, bytes]
    series: tuple[tuple[str, float | None], ...]

    def text(self, form: Format, mono: float) -> bytes:
        lines = [f"{start}{max(0.0, mono - since) if since is not None else 0.0:.3f}\n" for start, since in self.series]
        return self.heads[form] + "".join(lines).encode()


def ages(groups: Mapping[str, Readings], lines: Lines) -> tuple[AgeFamily, ...]:
    """Both families of ages, from the last good readings under each queue's label."""
    return (
        _family(OLDEST_PENDING, groups, lines, lambda stats: stats.oldest_pending_at),
        _family(OLDEST_RUNNING, groups, lines, lambda stats: stats.oldest_running_at),
    )


def _family(
    family: Family, groups: Mapping[str, Readings], lines: Lines, oldest: Callable[[QueueStats], datetime | None]
) -> AgeFamily:
    metric = family.gauge()
    for label in groups:
        metric.add_metric([label], 0)
    starts = [lines.start(sample) for sample in metric.samples]
    births = [min(_births(readings, oldest), default=None) for readings in groups.values()]
    heads = {form: head(metric, form) for form in Format}
    return AgeFamily(heads, tuple(zip(starts, births, strict=True)))


def _births(readings: Iterable[Known[QueueStats]], oldest: Callable[[QueueStats], datetime | None]) -> Iterator[float]:
    """When each oldest job's age was nought, on the monotonic clock: its age is by the store's clock, once."""
    for reading in readings:
        at = oldest(reading.value)
        if at is not None:
            yield reading.mono - (reading.value.now - at).total_seconds()
