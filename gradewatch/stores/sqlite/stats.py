"""What a probe reads of a queue, and of the store: a few indexed look-ups, however many rows there are."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from gradewatch.model import FINISHED, RUN_BOUNDS, WAIT_BOUNDS, Histogram, QueueStats
from gradewatch.stores.sqlite import rows

_COUNTERS = """
SELECT gw_now() AS now, coalesce(pending, 0) AS pending, coalesce(running, 0) AS running,
  coalesce(enqueued, 0) AS enqueued, coalesce(retries, 0) AS retries, coalesce(succeeded, 0) AS succeeded,
  coalesce(failed, 0) AS failed, coalesce(cancelled, 0) AS cancelled, last_started_at, last_finished_at,
  (SELECT min(run_at) FROM jobs WHERE state = 'pending' AND jobs.queue = :queue) AS oldest_pending,
  (SELECT min(started_at) FROM jobs WHERE state = 'running' AND jobs.queue = :queue) AS oldest_running
FROM (SELECT :queue AS name) LEFT JOIN counters ON counters.queue = name
"""


def stats(connection: sqlite3.Connection, queue: str) -> QueueStats:
    queue = rows.text(queue)
    row = connection.execute(_COUNTERS, {"queue": queue}).fetchone()
    papers = connection.execute("SELECT status, written FROM paper_counters WHERE queue = ?", (queue,))
    wait, run = _histograms(connection, queue)
    oldest = row["oldest_pending"]
    return QueueStats(
        queue=queue,
        now=rows.from_micros(row["now"]),
        pending=row["pending"],
        running=row["running"],
        depth_exact=True,
        # The earliest run_at is the longest eligible job's, unless it lies ahead: then none is eligible.
        oldest_pending_at=rows.from_micros(oldest) if oldest is not None and oldest <= row["now"] else None,
        oldest_running_at=_time(row["oldest_running"]),
        last_started_at=_time(row["last_started_at"]),
        last_finished_at=_time(row["last_finished_at"]),
        enqueued_total=row["enqueued"],
        retries_total=row["retries"],
        finished_total={state.value: row[state.value] for state in sorted(FINISHED)},
        papers_total={paper["status"]: paper["written"] for paper in papers},
        wait_seconds=wait,
        run_seconds=run,
    )


def _time(value: int | None) -> datetime | None:
    return None if value is None else rows.from_micros(value)


def _histograms(connection: sqlite3.Connection, queue: str) -> tuple[Histogram, dict[str, Histogram]]:
    buckets: defaultdict[tuple[str, str], list[sqlite3.Row]] = defaultdict(list)
    found = connection.execute(
        "SELECT name, outcome, bucket, observed, total FROM histograms WHERE queue = ?", (queue,)
    )
    for row in found:
        buckets[row["name"], row["outcome"]].append(row)
    wait = _histogram(WAIT_BOUNDS, buckets.pop(("wait", ""), []))
    return wait, {outcome: _histogram(RUN_BOUNDS, some) for (_, outcome), some in buckets.items()}


def _histogram(bounds: tuple[float, ...], buckets: Sequence[sqlite3.Row]) -> Histogram:
    counts = [0] * (len(bounds) + 1)
    for row in buckets:
        counts[row["bucket"]] = row["observed"]
    return Histogram(bounds, tuple(counts), sum(row["total"] for row in buckets) / 1_000_000)


def served(connection: sqlite3.Connection, queues: Sequence[str]) -> dict[str, bool]:
    """By queue: has any worker ever opened a session for it."""
    found: set[Any] = {row[0] for row in connection.execute("SELECT queue FROM served_queues")}
    return {queue: queue in found for queue in queues}
