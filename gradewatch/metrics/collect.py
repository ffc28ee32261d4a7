"""From what was seen to metric families, in pieces of a few samples.

A family with samples for a hundred queues comes as a hundred pieces in a row, so that rendering can make way for
the event loop between them. Stale readings: counters keep their last value (a total stays true), gauges of depth and
workers disappear (a frozen depth would be a lie), ages go on growing (see ages.py), and `probe_success` says 0.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from math import inf

from prometheus_client.metrics_core import Metric

from gradewatch.config import Settings
from gradewatch.metrics import families as f
from gradewatch.metrics.labels import QueueLabels
from gradewatch.metrics.state import PROBES, Seen, probe_times
from gradewatch.model import (
    FINISHED,
    RUN_BOUNDS,
    ActionKind,
    Code,
    Histogram,
    JobState,
    Known,
    QueueStats,
    Verdict,
    WorkerVerdict,
    rescues,
)
from gradewatch.version import __version__

OUTCOMES = tuple(state.value for state in JobState if state in FINISHED)
PAPER_OUTCOMES = ("graded", "needs_review", "failed")
NEVER = Histogram(RUN_BOUNDS, (0,) * (len(RUN_BOUNDS) + 1), 0.0)  # of an outcome that has not happened yet
LIVE = (Verdict.ALIVE, Verdict.STARVED)


def queue_labels(settings: Settings, seen: Seen) -> QueueLabels:
    return QueueLabels(settings.queues, seen.queues, settings.watch.max_queues)


def by_label(labels: QueueLabels, seen: Seen) -> dict[str, list[Known[QueueStats]]]:
    """The last good readings under each label; several where queues share `_other`."""
    groups: dict[str, list[Known[QueueStats]]] = {}
    for name, reading in seen.queues.items():
        groups.setdefault(labels[name], []).append(reading)
    return groups


def pieces(settings: Settings, store: str, seen: Seen) -> Iterator[Metric]:
    """Every family but the ages and those counted by this process; pieces of one family follow each other."""
    build = f.BUILD.info()
    build.add_metric([], {"version": __version__})
    yield build
    labels = queue_labels(settings, seen)
    groups = by_label(labels, seen)
    yield from _depth(labels, seen)
    yield from _slo(labels, settings)
    yield from _totals(groups)
    yield from _histograms(groups)
    yield from _papers(seen)
    yield from _workers(labels, seen)
    yield from _probes(store, seen)
    yield from _cycle(settings, seen)


def merged(histograms: Iterable[Histogram]) -> Histogram | None:
    """The sum of several; buckets of other bounds go to the first bucket here that holds all of them."""
    some = list(histograms)
    if not some:
        return None
    bounds = some[0].bounds
    counts = [0] * (len(bounds) + 1)
    for histogram in some:
        for bound, count in zip((*histogram.bounds, inf), histogram.counts, strict=True):
            counts[bisect_left(bounds, bound)] += count
    return Histogram(bounds, tuple(counts), sum(h.total for h in some))


def _depth(labels: QueueLabels, seen: Seen) -> Iterator[Metric]:
    yield f.QUEUE_DEPTH.empty()
    depth: dict[str, list[int]] = {}
    for name, reading in seen.report.snapshot.queues.items() if seen.report else ():
        if isinstance(reading, Known):
            sums = depth.setdefault(labels[name], [0, 0])
            sums[0] += reading.value.stats.pending
            sums[1] += reading.value.stats.running
    for label, (pending, running) in depth.items():
        family = f.QUEUE_DEPTH.gauge()
        family.add_metric([label, JobState.PENDING.value], pending)
        family.add_metric([label, JobState.RUNNING.value], running)
        yield family


def _slo(labels: QueueLabels, settings: Settings) -> Iterator[Metric]:
    """The strictest promise under each label."""
    waits = {name: queue.timeouts.schedule_to_start for name, queue in settings.queues.items()}
    runs = {name: queue.timeouts.start_to_close for name, queue in settings.queues.items()}
    yield from _strictest(f.QUEUE_SLO, labels, waits, settings.timeouts.schedule_to_start)
    yield from _strictest(f.QUEUE_LIMIT, labels, runs, settings.timeouts.start_to_close)


def _strictest(
    family: f.Family, labels: QueueLabels, promised: Mapping[str, float], default: float
) -> Iterator[Metric]:
    """A queue that is read but not configured has the default."""
    strictest = {label: inf for label in labels.all}
    for name, seconds in promised.items():
        strictest[labels[name]] = min(strictest[labels[name]], seconds)
    for label, seconds in strictest.items():
        gauge = family.gauge()
        gauge.add_metric([label], default if seconds == inf else seconds)
        yield gauge


def _totals(groups: dict[str, list[Known[QueueStats]]]) -> Iterator[Metric]:
    for empty in (f.ENQUEUED, f.RETRIES):
        yield empty.empty()
        for label, readings in groups.items():
            family = empty.counter()
            totals = (r.value.enqueued_total if empty is f.ENQUEUED else r.value.retries_total for r in readings)
            family.add_metric([label], sum(totals))
            yield family
    yield f.FINISHED.empty()
    for label, readings in groups.items():
        family = f.FINISHED.counter()
        for outcome in OUTCOMES:
            family.add_metric([label, outcome], sum(r.value.finished_total.get(outcome, 0) for r in readings))
        yield family


def _histograms(groups: dict[str, list[Known[QueueStats]]]) -> Iterator[Metric]:
    """A store that keeps no wait histogram (a foreign queue) keeps none of runs either: no series, not zeros."""
    yield f.WAIT.empty()
    for label, readings in groups.items():
        yield from _histogram(f.WAIT, [label], [r.value.wait_seconds for r in readings])
    yield f.RUN.empty()
    for label, readings in groups.items():
        for outcome in OUTCOMES:
            parts = [r.value.run_seconds.get(outcome, NEVER) for r in readings if r.value.wait_seconds]
            yield from _histogram(f.RUN, [label, outcome], parts)


def _histogram(family: f.Family, labels: Sequence[str], parts: Sequence[Histogram | None]) -> Iterator[Metric]:
    whole = merged(part for part in parts if part is not None)
    if whole is None:
        return
    metric = family.histogram()
    bounds = [*map(str, whole.bounds), "+Inf"]
    metric.add_metric(labels, list(zip(bounds, accumulate(whole.counts), strict=True)), whole.total)
    yield metric


def _papers(seen: Seen) -> Iterator[Metric]:
    family = f.PAPERS.counter()
    for outcome in PAPER_OUTCOMES if seen.queues else ():
        family.add_metric([outcome], sum(r.value.papers_total.get(outcome, 0) for r in seen.queues.values()))
    yield family


def _workers(labels: QueueLabels, seen: Seen) -> Iterator[Metric]:
    known = seen.report is not None and isinstance(seen.report.snapshot.workers, Known)
    verdicts = seen.report.diagnosis.verdicts if seen.report and known else ()
    served: dict[str, list[WorkerVerdict]] = {label: [] for label in labels.all} if known else {}
    for verdict in verdicts:
        own = [queue for queue in verdict.session.queues if not rescues([queue])]
        for label in dict.fromkeys(labels[queue] for queue in own):
            served.setdefault(label, []).append(verdict)
    yield f.WORKERS.empty()
    for label, group in served.items():
        workers = f.WORKERS.gauge()
        for kind in Verdict:
            workers.add_metric([label, kind.value], sum(v.verdict is kind for v in group))
        yield workers
    slots, busy = f.SLOTS.gauge(), f.SLOTS_BUSY.gauge()
    for label, group in served.items():
        slots.add_metric([label], sum(v.session.slots for v in group if v.verdict in LIVE))
        busy.add_metric([label], sum(v.session.busy for v in group if v.verdict in LIVE))
    yield slots
    yield busy
    yield _rescuers(labels, verdicts, known)


def _rescuers(labels: QueueLabels, verdicts: Sequence[WorkerVerdict], known: bool) -> Metric:
    counts = dict.fromkeys(labels.all, 0) if known else {}
    for verdict in verdicts:
        for label in {labels[queue] for queue in rescues(verdict.session.queues)} if verdict.verdict in LIVE else ():
            counts[label] = counts.get(label, 0) + 1
    family = f.RESCUE_WORKERS.gauge()
    for label, count in counts.items():
        family.add_metric([label], count)
    return family


def _probes(store: str, seen: Seen) -> Iterator[Metric]:
    times = probe_times(seen.report.snapshot) if seen.report else dict.fromkeys(PROBES)
    seconds = seen.report.probe_seconds if seen.report else {}
    up, success = f.STORE_UP.gauge(), f.PROBE_SUCCESS.gauge()
    duration, last = f.PROBE_DURATION.gauge(), f.PROBE_LAST_SUCCESS.gauge()
    up.add_metric([store], times["store"] is not None)
    for probe in PROBES:
        success.add_metric([probe], times[probe] is not None)
        duration.add_metric([probe], seconds.get(probe, 0.0))
        last.add_metric([probe], seen.last_success[probe])
    yield from (up, success, duration, last)


def _cycle(settings: Settings, seen: Seen) -> Iterator[Metric]:
    report = seen.report
    cycle, leader = f.CYCLE_LAST.gauge(), f.LEADER.gauge()
    cycle.add_metric([], report.wall.timestamp() if report else 0.0)
    leader.add_metric([], bool(report and report.leader))
    active = {finding.code for finding in report.diagnosis.findings} if report else set()
    findings = f.FINDING_ACTIVE.gauge()
    for code in Code:
        findings.add_metric([code.value], code in active)
    remaining = {kind.value: float(limit.count) for kind, limit in settings.remediation.budget.items()}
    remaining.update(report.budget_remaining if report else {})
    budget = f.BUDGET_REMAINING.gauge()
    for action in ActionKind:
        budget.add_metric([action.value], remaining.get(action.value, 0.0))
    yield from (cycle, leader, findings, budget)
