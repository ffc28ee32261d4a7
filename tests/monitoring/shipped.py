"""The files under test, read once: rules, their unit tests, Alertmanager's example, dashboards; and the metrics."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from gradewatch.config import Settings
from gradewatch.metrics.watch import WatchMetrics
from gradewatch.metrics.worker import WorkerMetrics

ROOT = Path(__file__).parents[2]
PROMETHEUS, ALERTMANAGER = ROOT / "prometheus", ROOT / "alertmanager"
RUNBOOKS = ROOT / "docs" / "runbooks"
UNIT_TESTS = sorted(PROMETHEUS.glob("tests/*.test.yml"))
HISTOGRAM = ("_bucket", "_sum", "_count")


@cache
def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def rules(name: str) -> list[dict[str, Any]]:
    return [rule for group in load(PROMETHEUS / name)["groups"] for rule in group["rules"]]


ALERTS = rules("alert_rules.yml")
RECORDED = rules("recording_rules.yml")
ALERT_NAMES = sorted({rule["alert"] for rule in ALERTS})
DASHBOARDS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "grafana" / "dashboards").glob("*.json"))
}


def panels(board: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every panel but the rows."""
    return (panel for panel in board["panels"] if panel["type"] != "row")


def queries() -> Iterator[tuple[str, str]]:
    """Each query of each panel, with a name for it."""
    for uid, board in DASHBOARDS.items():
        for panel in panels(board):
            for target in panel["targets"]:
                yield f"{uid}: {panel['title']} {target['refId']}", target["expr"]


@cache
def families() -> dict[str, str]:
    """Every family that the watch or a worker serves, and its type."""
    pages = (WatchMetrics(Settings(), store="sqlite").scrape()[0], WorkerMetrics(providers=["groq"]).scrape()[0])
    text = "\n".join(page.decode() for page in pages)
    return dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))


@cache
def series() -> frozenset[str]:
    """Every name of a series that the watch or a worker serves; a histogram's own name, too."""
    parts = {name + part for name, kind in families().items() if kind == "histogram" for part in HISTOGRAM}
    return frozenset(families()) | parts


def recorded() -> frozenset[str]:
    return frozenset(rule["record"] for rule in RECORDED)


def names_in(expr: str) -> set[str]:
    """The series a PromQL expression reads: ours and the recorded ones."""
    bare = re.sub(r'"[^"]*"', '""', expr)
    return set(re.findall(r"\b[a-z_]+:gradewatch_\w+(?::\w+)?|(?<![:\w])gradewatch_\w+", bare))
