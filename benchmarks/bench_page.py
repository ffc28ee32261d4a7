"""The status page with 100 queues and 1,000 workers: its first paint in a real Chromium, its weight, and what 200
readers of the event stream cost a real `gradewatch watch`.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import psutil

from benchmarks.bench_metrics import QUEUES, fill
from benchmarks.figures import Entry, at_most, percentile, spread, worth_knowing
from benchmarks.world import World, processor_seconds, world

VISITS = 15  # each with an empty cache
READERS = 200  # as many as the watch lets in
INTERVAL = 5.0  # seconds, as by default
LASTING = 4 * INTERVAL
PAINT_BAR, WEIGHT_BAR = 200.0, 100.0  # milliseconds, kilobytes
PROCESSOR_BAR, MEMORY_BAR = 5.0, 20.0  # percent of a core, megabytes

FIRST_PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"
WEIGHT = """[...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
  .filter((entry) => !entry.name.includes("/api/")).reduce((sum, entry) => sum + entry.transferSize, 0)"""
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")


async def run() -> list[Entry]:
    names = [f"queue-{n:03}" for n in range(QUEUES)]
    async with world(_settings(names)) as made:
        await fill(made.store, names)
        async with made.running("watch") as process:
            url = await made.until(lambda: _url(made), "the watch serves HTTP")
            await _cycles(url, 2)
            streams = await _streams(url, psutil.Process(process.pid))
            return [*await _paint(url), *streams]


def _settings(names: list[str]) -> str:
    """Nobody beats or works here: nothing falls due."""
    return '[timeouts]\nschedule_to_start = "1h"\nheartbeat = "1h"\n[remediation]\nwedged_after = "1h"\n' + "".join(
        f"[queues.{name}]\n" for name in names
    )


async def _url(made: World) -> str | None:
    log = made.path / "log.txt"
    for line in log.read_text().splitlines() if log.exists() else ():
        if '"watch started"' in line:
            return str(json.loads(line)["url"])
    return None


# ---------------------------------------------------------------- the page


async def _paint(url: str) -> list[Entry]:
    from playwright.async_api import async_playwright

    paints, weights = [], []
    async with async_playwright() as playwright:
        found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
        if found is None:
            raise RuntimeError("Chromium is missing. To bring it: sudo apt-get install chromium")
        browser = await playwright.chromium.launch(executable_path=found, args=list(QUIET))
        for visit in range(VISITS + 1):
            context = await browser.new_context()
            page = await context.new_page()
            await page.goto(url + "/", wait_until="load")
            await page.wait_for_selector("#workers tbody tr")
            while (paint := await page.evaluate(FIRST_PAINT)) is None:
                await asyncio.sleep(0.01)
            if visit:  # the first one starts the browser's own parts
                paints.append(float(paint))
                weights.append(await page.evaluate(WEIGHT) / 1000)
            await context.close()
        await browser.close()
    median = percentile(paints, 50)
    return [
        at_most("status page, first paint with 1,000 workers", median, "ms", PAINT_BAR, spread(paints, "ms")),
        at_most("status page, weight with all its files", max(weights), "kB", WEIGHT_BAR, "as transferred, gzip"),
    ]


# ---------------------------------------------------------------- the streams


@dataclass(frozen=True, slots=True)
class Cost:
    """In percent of a core, and megabytes."""

    processor: float
    memory: float


async def _streams(url: str, watch: psutil.Process) -> list[Entry]:
    before = await _cost(watch)
    async with _readers(url, READERS, asking=False) as events:
        listened = await _cost(watch)
        if events() < READERS * 3:
            raise RuntimeError(f"{READERS} readers got {events()} events: they were not all served")
    async with _readers(url, READERS, asking=True):
        asked = await _cost(watch)
    after = await _cost(watch)
    alone = min(before.processor, after.processor)
    detail = f"{listened.processor:.2f} % less the {alone:.2f} % of a watch without readers"
    return [
        at_most("200 event streams, processor", listened.processor - alone, "% of a core", PROCESSOR_BAR, detail),
        at_most("200 event streams, memory", listened.memory - before.memory, "MB", MEMORY_BAR),
        worth_knowing(
            "200 open pages, processor",
            asked.processor - alone,
            "% of a core",
            "the streams, and each page's question after each cycle",
        ),
    ]


async def _cost(watch: psutil.Process) -> Cost:
    """Over four cycles, once things have settled for one."""
    await asyncio.sleep(INTERVAL)
    spent, began = processor_seconds(watch), time.monotonic()
    await asyncio.sleep(LASTING)
    share = (processor_seconds(watch) - spent) / (time.monotonic() - began)
    return Cost(100 * share, watch.memory_info().rss / 1e6)


@asynccontextmanager
async def _readers(url: str, count: int, *, asking: bool) -> AsyncIterator[Callable[[], int]]:
    """So many open streams, each read as it comes; yields how many events they got in all."""
    got = [0] * count
    async with AsyncExitStack() as stack:
        limits = aiohttp.TCPConnector(limit=0)
        http = await stack.enter_async_context(
            aiohttp.ClientSession(connector=limits, timeout=aiohttp.ClientTimeout(total=None), read_bufsize=2**20)
        )
        reading = [asyncio.create_task(_read(http, url, got, n, asking)) for n in range(count)]
        try:
            yield lambda: sum(got)
        finally:
            for task in reading:
                task.cancel()
            ended = await asyncio.gather(*reading, return_exceptions=True)
    faults = [one for one in ended if isinstance(one, Exception)]
    if faults:
        raise RuntimeError(f"{len(faults)} of {count} readers failed") from faults[0]


async def _read(http: aiohttp.ClientSession, url: str, got: list[int], at: int, asking: bool) -> None:
    async with http.get(url + "/api/events") as stream:
        stream.raise_for_status()
        async for line in stream.content:
            if line.startswith(b"event: cycle"):
                got[at] += 1
                if asking:
                    async with http.get(url + "/api/overview") as answer:
                        await answer.read()


async def _cycles(url: str, number: int) -> None:
    """Wait until that many cycles have ended."""
    async with aiohttp.ClientSession(read_bufsize=2**20) as http, http.get(url + "/api/events") as stream:
        async for line in stream.content:
            if line.startswith(b"data: ") and json.loads(line[6:]).get("cycle", 0) >= number:
                return


if __name__ == "__main__":
    entries: list[dict[str, Any]] = asyncio.run(run())
    print(json.dumps(entries, indent=1))
