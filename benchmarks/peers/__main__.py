"""`python -m benchmarks.peers PYTHON`: no-op jobs through ours and two others, in turn on one server; then, side by
side, kill -9 of a worker until its job runs again. Prints ratios and times.

PYTHON is the interpreter of the environment that has the peers. All commit durably; ours fences every write.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from statistics import median

from benchmarks.figures import Entry, at_least, worth_knowing
from benchmarks.noop_worker import SERVER_SLOTS
from benchmarks.peers import killing
from benchmarks.postgres_server import Server, new_server
from benchmarks.world import ROOT
from gradewatch.model import NewJob
from gradewatch.stores.postgres import PostgresStore

JOBS, ROUNDS = 20_000, 3
BATCHES = (10, 256)  # PgQueuer's: its default, and as many as our worker claims at once
SLOWEST = 2000  # jobs for the one that takes them one by one
BAR = 2.0
HERE = Path(__file__).parent


def main(python: str) -> int:
    server = new_server(durable=True)
    try:
        rates = _rates(server, python)
        killed = asyncio.run(killing.run(server, python))
    finally:
        server.remove()
    entries = [*_entries({name: median(some) for name, some in rates.items()}), *killed]
    for entry in entries:
        bar = "" if entry["bar"] is None else f"  (bar: {entry['bar']}{'' if entry['ok'] else ', MISSED'})"
        print(f"{entry['name']:<76} {entry['value']:>10} {entry['unit']}{bar}  {entry.get('detail', '')}".rstrip())
    return 0 if all(entry["ok"] for entry in entries) else 1


def _rates(server: Server, python: str) -> Mapping[str, list[float]]:
    """In turn, so that a disturbance of the machine meets all of them."""
    rates: defaultdict[str, list[float]] = defaultdict(list)
    urls = {name: server.url(name) for name in ("gradewatch", "pgqueuer", "procrastinate")}
    for name in urls:
        server.sql(f"CREATE DATABASE {name}")
    for _ in range(ROUNDS):
        rates["gradewatch"].append(_ours(urls["gradewatch"]))
        for batch in BATCHES:
            rates[f"pgqueuer {batch}"].append(_peer(python, "pgqueuer", urls["pgqueuer"], JOBS, batch))
        rates["procrastinate"].append(_peer(python, "procrastinate", urls["procrastinate"], SLOWEST))
    return rates


def _ours(url: str) -> float:
    asyncio.run(_submit(url))
    argv = [sys.executable, "-m", "benchmarks.noop_worker", url, str(JOBS), "warning", str(SERVER_SLOTS)]
    return JOBS / float(subprocess.run(argv, cwd=ROOT, check=True, capture_output=True, timeout=120).stdout)


async def _submit(url: str) -> None:
    store = PostgresStore(url)
    await store.migrate()
    for _ in range(JOBS // 100):
        await store.submit([NewJob("noop", {})] * 100)
    await store.close()


def _peer(python: str, name: str, url: str, jobs: int, *options: int) -> float:
    argv = [python, str(HERE / f"{name}_worker.py")]
    subprocess.run([*argv, "submit", url, str(jobs)], check=True, capture_output=True, timeout=120)
    done = subprocess.run(
        [*argv, "work", url, str(jobs), *map(str, options)], check=True, capture_output=True, timeout=120
    )
    return jobs / float(done.stdout)


def _entries(rates: dict[str, float]) -> list[Entry]:
    ours, first = rates["gradewatch"], rates[f"pgqueuer {BATCHES[0]}"]
    return [
        at_least(f"no-op jobs on PostgreSQL, ours to PgQueuer's in batches of {BATCHES[0]}", ours / first, "×", BAR),
        *(
            worth_knowing(f"no-op jobs on PostgreSQL, ours to those of {name}", ours / rate, "×")
            for name, rate in rates.items()
            if name != "gradewatch"
        ),
        *(worth_knowing(f"no-op jobs on PostgreSQL, {name}", rate, "jobs/s") for name, rate in rates.items()),
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
