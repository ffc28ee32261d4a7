"""Names that try to break out: from /metrics through Prometheus' rules to every receiver, they stay text."""

from __future__ import annotations

import asyncio
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from builders import queue_stats, report, snapshot
from monitoring.incident import ask, until
from monitoring.receivers import Told, globals_for, listening, receiver_for

from gradewatch.config import QueueSettings, Settings, Timeouts
from gradewatch.demo.monitoring import Stack, alertmanager_config, prometheus_config, scaled_rules
from gradewatch.metrics.watch import WatchMetrics
from gradewatch.model import Known

pytestmark = pytest.mark.xdist_group("hostile names")  # one Prometheus for all of them

HOSTILE = (
    "<script>alert(1)</script>",
    '"} 1\n# EOF\n',
    "{{ .Labels }} & <!channel> 🧨",
    "x" * 10_000,
)
FACTOR = 0.001
HEADERS = {"Subject", "From", "To", "Message-Id", "Date", "Content-Type", "MIME-Version"}


def page() -> bytes:
    """What a watch serves whose queues have those names: work waits in each, and nobody is alive."""
    timeouts = Timeouts()
    settings = Settings(queues={name: QueueSettings(name=name, timeouts=timeouts) for name in HOSTILE})
    metrics = WatchMetrics(settings, store="sqlite")
    seen = report(replace(snapshot(map(queue_stats, HOSTILE)), workers=Known((), 0.0)))
    metrics.publish(replace(seen, diagnosis=replace(seen.diagnosis, verdicts=())))
    asyncio.run(metrics.render())
    return metrics.scrape()[0]


@contextmanager
def served(body: bytes) -> Iterator[int]:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def told(servers: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Told, Stack]]:
    """Everything that was told until each queue's page has come, and a ticket by mail."""
    folder: Path = tmp_path_factory.mktemp("hostile")
    with listening() as told, served(page()) as port:
        stack = Stack(folder)
        targets = {"gradewatch": [f"127.0.0.1:{port}"], "gradewatch-worker": ["127.0.0.1:1"]}
        labels = {"namespace": "<b>ns</b>"}
        config = prometheus_config(targets, stack.alertmanager_address, scrape=0.5, labels=labels)
        (folder / "prometheus.yml").write_text(config)
        for name in ("recording_rules.yml", "alert_rules.yml"):
            (folder / name).write_text(scaled_rules(name, FACTOR))
        config = alertmanager_config(FACTOR, receiver_for(told, folder), globals_for(told, folder))
        (folder / "alertmanager.yml").write_text(_unmuted(config))
        with stack:
            until(lambda: len({event["dedup_key"] for event in told.pages("trigger")}) >= len(HOSTILE), "pages come")
            until(lambda: told.mails, "a mail comes")
            yield told, stack


def _unmuted(config: str) -> str:
    """Without inhibitions: this is about texts, and the watch of this test is frozen, which mutes all else."""
    import yaml

    return str(yaml.safe_dump(yaml.safe_load(config) | {"inhibit_rules": []}, width=1000))


def test_prometheus_reads_the_page_and_every_name(told: tuple[Told, Stack]) -> None:
    found = ask(f"{told[1].prometheus}/api/v1/query", query='gradewatch_queue_depth{state="pending"}')["data"]["result"]
    queues = {series["metric"]["queue"] for series in found}
    assert set(HOSTILE[:3]) <= queues
    assert max(map(len, queues)) == 100
    (up,) = ask(f"{told[1].prometheus}/api/v1/query", query='up{job="gradewatch"}')["data"]["result"]
    assert up["value"][1] == "1"


def test_no_rule_stumbles(told: tuple[Told, Stack]) -> None:
    for group in ask(f"{told[1].prometheus}/api/v1/rules")["data"]["groups"]:
        for rule in group["rules"]:
            assert (rule["health"], rule.get("lastError", "")) == ("ok", ""), rule["name"]


def test_pagerduty_gets_text(told: tuple[Told, Stack]) -> None:
    texts = [event["payload"]["custom_details"]["what"] for event in told[0].pages("trigger")]
    assert any("{{ .Labels }} & <!channel> 🧨" in text for text in texts), "a name is no template"
    for event in told[0].pages("trigger"):
        link = urllib.parse.urlsplit(event["links"][1]["href"])
        asked = urllib.parse.parse_qs(link.query, strict_parsing=True)
        assert asked["var-namespace"] == ["<b>ns</b>"]
        assert set(asked) <= {"var-namespace", "var-queue"}


def test_slack_cannot_be_made_to_shout(told: tuple[Told, Stack]) -> None:
    messages = [message["attachments"][0] for message in told[0].at("/slack")]
    assert any("&lt;!channel&gt;" in message["text"] for message in messages)
    for message in messages:
        assert "<!channel>" not in message["text"] + message["title"] + message["fallback"]
        assert "<script" not in message["text"] + message["title"] + message["fallback"]


def test_a_mail_is_safe_to_open(told: tuple[Told, Stack]) -> None:
    """Tags of ours only, links to http only, and every name as text."""
    for mail in told[0].mails:
        assert "\n" not in mail["Subject"]
        assert set(mail.keys()) <= HEADERS, "no name becomes a header"
        html = mail.get_body(("html",))
        assert html is not None
        tags = _Tags()
        tags.feed(html.get_content())
        assert tags.seen <= {"html", "body", "h2", "p", "b", "a"}
        assert all(link.startswith("http") for link in tags.links)
        assert html.get_content().count("<b>") == tags.text.count("Finding ") + tags.text.count("Fix ")


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.links += [value or "" for name, value in attrs if name == "href"]

    def handle_data(self, data: str) -> None:
        self.text += data
