"""The queue probe (`QueueProbe.read`: stats and all lists) over 3,000,000 rows against the same over 1,000.

Both queues have the same late jobs to be listed, so that what is compared is the cost of rows that are merely there.
The rows are written by SQL with triggers and indexes away; these come back before anything is measured.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Entry, at_most, percentile, worth_knowing
from benchmarks.world import folder
from gradewatch.config import QueueSettings
from gradewatch.model import QueueFacts
from gradewatch.probes.queue import QueueProbe
from gradewatch.stores.sqlite import SqliteStore

BAR = 1.5
ROUNDS, READS = 7, 60
LATE = 20  # jobs overdue in pending, overdue in running, and held by a session that has ended: each so many
QUEUE = QueueSettings()


@dataclass(frozen=True, slots=True)
class Size:
    rows: int
    pending: int


SMALL, LARGE = Size(1000, 200), Size(3_000_000, 200_000)

# Row n: the last ones wait, those before them run, the rest are finished. Ages in seconds, by n.
_FILL = """
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :rows),
staged AS (
  SELECT n, CASE WHEN n > :rows - :pending THEN 'pending' WHEN n > :rows - :pending - 2 * :late THEN 'running'
    WHEN n % 50 = 0 THEN 'failed' ELSE 'succeeded' END AS state
  FROM numbers
),
timed AS (
  SELECT n, state, :now - 1000000 * CASE
    WHEN state = 'running' THEN iif(n % 2, 3600, 600)
    WHEN state = 'pending' THEN iif(n <= :rows - :pending + :late, 900, 60)
    ELSE 7200 END AS at
  FROM staged
)
INSERT INTO jobs (id, queue, kind, state, max_attempts, token, session_id, created_at, run_at, started_at, finished_at,
  updated_at, payload)
SELECT printf('%026x', n), 'default', 'grade', state, 3, state <> 'pending',
  CASE WHEN state = 'running' THEN iif(n % 2, :alive, :ended) END, at, at,
  iif(state = 'pending', NULL, at), iif(state IN ('failed', 'succeeded'), at + 1000000, NULL), at,
  '{"papers": [{"name": "01.pdf", "sha256": "0123456789abcdef", "size": 2048}]}'
FROM timed ORDER BY n
"""
_COUNT = """
UPDATE counters SET enqueued = :rows, pending = :pending, running = 2 * :late,
  failed = (SELECT count(*) FROM jobs WHERE state = 'failed'),
  succeeded = (SELECT count(*) FROM jobs WHERE state = 'succeeded')
"""


async def run() -> list[Entry]:
    with folder() as path:
        small, large = await _made(path / "small.db", SMALL), await _made(path / "large.db", LARGE)
        try:
            ratios, medians = await _compare(small, large)
        finally:
            await small.close()
            await large.close()
    words = f"{SMALL.rows:,} rows: {medians[0]:.2f} ms, {LARGE.rows:,} rows: {medians[1]:.2f} ms"
    return [
        at_most("queue probe, 3,000,000 rows to 1,000", percentile(ratios, 50), "×", BAR, words),
        worth_knowing("queue probe over 3,000,000 rows", medians[1], "ms"),
    ]


async def _compare(small: SqliteStore, large: SqliteStore) -> tuple[list[float], tuple[float, float]]:
    """The ratio of medians in each round, and the median of all rounds' medians in milliseconds."""
    probes = [(small, QueueProbe(QUEUE)), (large, QueueProbe(QUEUE))]
    await _medians(probes)  # warms up
    rounds = [await _medians(probes) for _ in range(ROUNDS)]
    ratios = [large_ms / small_ms for small_ms, large_ms in rounds]
    return ratios, (percentile([r[0] for r in rounds], 50), percentile([r[1] for r in rounds], 50))


async def _medians(probes: list[tuple[SqliteStore, QueueProbe]]) -> tuple[float, float]:
    """Small and large in turn, so that a disturbance of the machine meets both."""
    took: tuple[list[float], list[float]] = ([], [])
    for _ in range(READS):
        for (store, probe), into in zip(probes, took, strict=True):
            began = time.perf_counter()
            facts = await probe.read(store, frozenset(), time.monotonic())
            into.append((time.perf_counter() - began) * 1000)
            _check(facts)
    return percentile(took[0], 50), percentile(took[1], 50)


def _check(facts: QueueFacts) -> None:
    found = [len(some) for some in (facts.overdue_pending, facts.overdue_running, facts.held_by_absent)]
    if found != [LATE] * 3:
        raise RuntimeError(f"the probe found {found} late jobs, not {LATE} of each")


async def _made(file: Path, size: Size) -> SqliteStore:
    store = SqliteStore(file)
    await store.migrate()
    await asyncio.to_thread(_fill, file, size)
    await store.migrate()  # makes the indexes again
    await store.open()
    return store


def _fill(file: Path, size: Size) -> None:
    values = {
        "rows": size.rows, "pending": size.pending, "late": LATE, "now": time.time_ns() // 1000,
        "alive": "alive", "ended": "ended",
    }  # fmt: skip
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    made = "SELECT type, name, sql FROM sqlite_master WHERE type IN ('trigger', 'index') AND tbl_name = 'jobs' AND sql"
    parts = connection.execute(f"{made} IS NOT NULL").fetchall()
    for kind, name, _ in parts:
        connection.execute(f"DROP {kind} {name}")
    connection.execute(
        "INSERT INTO sessions (id, name, queues, slots, host, pid, version, target, incarnation, http, started_at, "
        "beat_at) VALUES ('alive', 'w', '[\"default\"]', 4, 'h', 1, '0', '', '', '', :now, :now)",
        values,
    )
    connection.execute("INSERT INTO counters (queue) VALUES ('default')")
    connection.execute(_FILL, values)
    connection.execute(_COUNT, values)
    for kind, _, sql in parts:
        if kind == "trigger":
            connection.execute(sql)
    connection.close()
