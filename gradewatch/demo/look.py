"""The demo with a Prometheus and an Alertmanager beside it, for people who want to look."""

from __future__ import annotations

import asyncio
import json
import signal
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gradewatch.demo.monitoring import Stack, alertmanager_config, prometheus_config, scaled_rules
from gradewatch.demo.teller import say

FACTOR = 0.05  # a `for` of a minute is three seconds: nobody wants to wait for a demo
SCRAPE = 1.0  # seconds


@contextmanager
def watched(folder: Path, port: int) -> Iterator[Stack]:
    """Both servers with the shipped rules, scraping a watch at `port`, telling nobody. Raises GradewatchError."""
    servers = Stack(folder)
    config = prometheus_config(
        {"gradewatch": [f"127.0.0.1:{port}"]}, servers.alertmanager_address, scrape=SCRAPE, labels={"namespace": "demo"}
    )
    (folder / "prometheus.yml").write_text(config)
    for name in ("recording_rules.yml", "alert_rules.yml"):
        (folder / name).write_text(scaled_rules(name, FACTOR))
    (folder / "alertmanager.yml").write_text(alertmanager_config(FACTOR, lambda one: {"name": one["name"]}, {}))
    with servers:
        say(f"Prometheus is at {servers.prometheus}, Alertmanager at {servers.alertmanager}")
        yield servers


async def look_around(servers: Stack, port: int) -> None:
    """Say what Prometheus made of the story and where to look, and stay until Ctrl-C or SIGTERM."""
    alerts = (await _ask(f"{servers.prometheus}/api/v1/alerts"))["data"]["alerts"]
    names = Counter(f"{alert['labels']['alertname']} ({alert['state']})" for alert in alerts)
    say(f"Prometheus' alerts: {', '.join(sorted(names)) or 'none'}. Nobody was paged: the repair was quicker")
    say(f"look at {servers.prometheus}/alerts and /graph, {servers.alertmanager}, and http://127.0.0.1:{port}/")
    say("everything stays until Ctrl-C", bold=True)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()


async def _ask(url: str) -> Any:
    def ask() -> Any:
        with urllib.request.urlopen(url, timeout=10.0) as answer:
            return json.load(answer)

    return await asyncio.to_thread(ask)
