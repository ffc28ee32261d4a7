"""`python -m benchmarks.peers PYTHON`: no-op jobs through ours and two others, in turn on one server; prints ratios.
Then a worker of each is killed, and what it ran is waited for.

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
from benchmarks.peers import killed
from benchmarks.postgres_server import Server, new_server
from benchmarks.world import ROOT
from gradewatch.model import NewJob
from gradewatch.stores.postgres import PostgresStore

JOBS, ROUNDS = 20_000, 3
BATCHES = (10, 256)  # PgQueuer's: its default, and as many as our worker has slots
SLOWEST = 2000  # jobs for the one that takes them one by one
BAR = 2.0
HERE = Path(__file__).parent


def main(python: str) -> int:
    server = new_server(durable=True)
    try:
        rates = _rates(server, python)
        kills = _kills(server, python)
    finally:
        server.remove()
    entries = [*_entries({name: median(some) for name, some in rates.items()}), *kills]
    for entry in entries:
        bar = "" if entry["bar"] is None else f"  (bar: {entry['bar']}{'' if entry['ok'] else ', MISSED'})"
        detail = f"  {entry['detail']}" if "detail" in entry else ""
        print(f"{entry['name']:<84} {entry['value']:>10} {entry['unit']}{bar}{detail}")
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


def _kills(server: Server, python: str) -> list[Entry]:
    """With one job each, in databases of their own."""
    urls = {name: server.url(f"killed_{name}") for name in ("gradewatch", "pgqueuer", "procrastinate")}
    for name in urls:
        server.sql(f"CREATE DATABASE killed_{name}")
    asyncio.run(_submit(urls["gradewatch"], 1, "grade"))
    commands = {"gradewatch": killed.ours(urls["gradewatch"])}
    for name in ("pgqueuer", "procrastinate"):
        script = HERE / f"{name}_worker.py"
        subprocess.run([python, script, "submit", urls[name], "1"], check=True, capture_output=True, timeout=120)
        commands[name] = killed.peer(python, script, urls[name])
    return killed.entries(urls, commands)


def _ours(url: str) -> float:
    asyncio.run(_submit(url, JOBS, "noop"))
    argv = [sys.executable, "-m", "benchmarks.noop_worker", url, str(JOBS), "warning"]
    return JOBS / float(subprocess.run(argv, cwd=ROOT, check=True, capture_output=True, timeout=120).stdout)


async def _submit(url: str, jobs: int, kind: str) -> None:
    store = PostgresStore(url)
    await store.migrate()
    size = min(jobs, 100)
    for _ in range(jobs // size):
        await store.submit([NewJob(kind, {})] * size)
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
