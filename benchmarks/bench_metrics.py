"""/metrics with 100 queues and 1,000 workers while a cycle runs: how long a scrape takes, how late the loop is.

The server and its cycle run in this process, over a real SQLite file; the scraper is another process, as Prometheus
is.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gradewatch.app.watching import make_cycle
from gradewatch.board import Board
from gradewatch.cli.collector import spare_what_stays
from gradewatch.config import QueueSettings, Settings, Timeouts, WatchSettings
from gradewatch.http import make_app, serve
from gradewatch.metrics.watch import WatchMetrics
from gradewatch.model import Claimed, CycleReport, Finish, FinishKind, NewJob, NewSession
from gradewatch.platforms.none import NoPlatform
from gradewatch.stores.sqlite import SqliteStore

QUEUES, WORKERS = 100, 1000
SCRAPES, GAP = 2000, 0.005  # the pace of the scraper, in seconds: some 15 s, three cycles
INTERVAL = 5.0  # seconds, as by default
SCRAPE_BAR, LAG_BAR = 5.0, 20.0  # milliseconds


async def run() -> list[dict[str, Any]]:
    """Entries for the bench report."""
    late: list[float] = []
    spare_what_stays()  # as a service does by itself
    with tempfile.TemporaryDirectory() as folder:
        async with serving(Path(folder)) as url:
            scraper = await asyncio.create_subprocess_exec(sys.executable, __file__, url, stdout=subprocess.PIPE)
            measuring = asyncio.create_task(lags(late))
            output, _ = await scraper.communicate()
            measuring.cancel()
    if scraper.returncode:
        raise RuntimeError(f"the scraper ended with {scraper.returncode}")
    scrapes = json.loads(output)
    return [
        entry("/metrics, median scrape", percentile(scrapes, 50), SCRAPE_BAR),
        entry("/metrics, p99 scrape", percentile(scrapes, 99), SCRAPE_BAR),
        entry("loop lag while scraped, p99", percentile(late, 99), LAG_BAR),
        entry("loop lag while scraped, worst", max(late), LAG_BAR),
    ]


def entry(name: str, milliseconds: float, bar: float) -> dict[str, Any]:
    return {"name": name, "value": round(milliseconds, 2), "unit": "ms", "bar": bar, "ok": milliseconds < bar}


def percentile(values: Sequence[float], share: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * share // 100)]


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[str]:
    """The URL of a server over a filled store, while a cycle watches it."""
    names = [f"queue-{n:03}" for n in range(QUEUES)]
    patient = Timeouts(schedule_to_start=3600.0, heartbeat=3600.0)  # nobody beats or works here: nothing falls due
    settings = Settings(
        queues={name: QueueSettings(name=name, timeouts=patient) for name in names}, watch=WatchSettings(INTERVAL)
    )
    store = SqliteStore(folder / "bench.db")
    await store.migrate()
    await store.open()
    await fill(store, names)
    board, stop = Board(), asyncio.Event()
    metrics = WatchMetrics(settings, store=store.kind)
    server = await serve(make_app(board, store, settings, metrics), "127.0.0.1", 0)
    cycle = make_cycle(settings, store, NoPlatform(), board, environ={})
    watching = asyncio.create_task(cycle.run(stop))
    try:
        await settled(board)
        yield server.url
    finally:
        stop.set()
        await watching
        await server.close()
        await store.close()


async def fill(store: SqliteStore, names: Sequence[str]) -> None:
    """Jobs waiting and done in every queue, so that each has counts, ages and histograms; ten workers a queue."""
    await store.submit([NewJob("grade", {}, queue=name) for name in names for _ in range(3)])
    for n in range(WORKERS):
        name = names[n % len(names)]
        session = await store.open_session(NewSession(f"worker-{n}", (name,), 4, f"host-{n}", 1000 + n, "0.1.0"))
        if n < len(names):
            claims = [Claimed(job.id, job.token) for job in await store.claim(session, [name], ["grade"], 1)]
            await store.finish([Finish(claim, FinishKind.SUCCEED, result={}) for claim in claims])


async def settled(board: Board) -> None:
    """Wait until the second cycle has ended: the first one only observes."""
    with board.subscribe() as reports:
        async for report in reports:
            if isinstance(report, CycleReport) and report.number >= 2:
                return


async def lags(into: list[float]) -> None:
    """Measure how late the loop is, in milliseconds, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + 0.001
        await asyncio.sleep(0.001)
        into.append((loop.time() - due) * 1000)


def scrape(url: str) -> list[float]:
    """One connection, kept, as Prometheus keeps it; each page is read whole."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    took = []
    for _ in range(SCRAPES):
        began = time.perf_counter()
        connection.request("GET", "/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
        page = connection.getresponse().read()
        took.append((time.perf_counter() - began) * 1000)
        if page.count(b"gradewatch_queue_depth{") != 2 * QUEUES or not page.endswith(b"# EOF\n"):
            raise RuntimeError("the page is not whole")
        time.sleep(GAP)
    return took


if __name__ == "__main__":
    print(json.dumps(scrape(sys.argv[1]) if len(sys.argv) > 1 else asyncio.run(run()), indent=1))
