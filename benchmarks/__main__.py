"""Run the benchmarks, all or those named; print a table; write bench-report.json. Exits with 1 when a bar is missed or
a figure could not be taken."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import structlog

from benchmarks.figures import Entry, worth_knowing

REPORT = Path("bench-report.json")
NAMES = (
    "supervised",
    "unsupervised",
    "probe",
    "jobs",
    "metrics",
    "page",
    "rest",
    "expire",
    "store",
    "providers",
    "postgres",
    "supabase",
    "mongo",
    "kubernetes",
)
QUIET = 0.25  # share of the processors that others may use, above which the figures are not to be trusted


def main(names: Sequence[str]) -> int:
    if unknown := [name for name in names if name not in NAMES]:
        print(f"no such benchmark: {', '.join(unknown)}; there are: {', '.join(NAMES)}", file=sys.stderr)
        return 2
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))  # the processes log
    busy = os.getloadavg()[0] / (os.cpu_count() or 1)
    before = _pace()
    measured = {name: _measure(name) for name in names or NAMES}
    paces = [("before", before), ("after", _pace())]
    entries = [entry for some in measured.values() for entry in some or ()]
    entries += [worth_knowing(f"this machine: a fixed loop in Python, {when}", pace, "ms") for when, pace in paces]
    broken = [name for name, some in measured.items() if some is None]
    REPORT.write_text(json.dumps(entries, indent=2, ensure_ascii=False) + "\n")
    print(f"\n{_table(entries)}\n\nwritten to {REPORT}")
    if busy > QUIET:
        print(f"This machine was at {busy:.0%} of its processors before it began: the figures are worse for it.")
    if broken:
        print(f"Could not be measured, as told above: {', '.join(broken)}")
    return 0 if not broken and all(entry["ok"] for entry in entries) else 1


def _pace() -> float:
    """Milliseconds of one and the same work: by it figures of two days, or of two machines, can be compared."""

    def loop() -> float:
        began, total = time.perf_counter(), 0
        for number in range(2_000_000):
            total += number * number % 7
        return (time.perf_counter() - began) * 1000

    return min(loop() for _ in range(5))


def _measure(name: str) -> list[Entry] | None:
    """None when it broke, for whatever reason."""
    began = time.monotonic()
    print(f"{name} … ", end="", flush=True)
    try:
        result = import_module(f"benchmarks.bench_{name}").run()
        entries: list[Entry] = asyncio.run(result) if inspect.iscoroutine(result) else result
    except Exception:  # noqa: BLE001 - whatever it is, the other figures can still be taken
        print("broke", flush=True)
        traceback.print_exc()
        return None
    print(f"{time.monotonic() - began:.0f} s", flush=True)
    return entries


def _table(entries: Sequence[Entry]) -> str:
    rows = [("figure", "value", "bar", "", ""), *(_row(entry) for entry in entries)]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        f"{name:<{widths[0]}}  {value:>{widths[1]}}  {bar:>{widths[2]}}  {verdict:<{widths[3]}}  {detail}".rstrip()
        for name, value, bar, verdict, detail in rows
    )


def _row(entry: Entry) -> tuple[str, str, str, str, str]:
    bar = entry["bar"]
    verdict = "" if bar is None else "ok" if entry["ok"] else "MISSED"
    limit = "" if bar is None else f"{bar:g}"
    return entry["name"], f"{entry['value']:g} {entry['unit']}", limit, verdict, entry.get("detail", "")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
