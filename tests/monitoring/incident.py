"""One incident from start to end: real gradewatch, real Prometheus, real Alertmanager, and what each of them said.

A watch and a worker over one store; the worker is killed, jobs are submitted and nobody is there; then somebody
starts a worker. At the end one of two workers is killed in the middle of a job, which the watch mends. The rules
and the routes are the shipped ones with their waits times FACTOR.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from monitoring.receivers import Told, globals_for, listening, receiver_for

from gradewatch.demo.monitoring import Stack, alertmanager_config, free_port, prometheus_config, scaled_rules

T = TypeVar("T")

FACTOR = 0.05  # a `for` of a minute is three seconds
SCRAPE = 5.0  # seconds
DEADLINE = 60.0
TOKEN = "a-token-for-tests"
EXAM = Path(__file__).parents[2] / "examples" / "exam"
JOBS, COPIES = 4, 30  # of ten typed papers: a few milliseconds each

SETTINGS = {
    "HTTP__TOKEN": TOKEN,
    "WATCH__INTERVAL": "500ms",
    "TIMEOUTS__HEARTBEAT": "3s",
    "TIMEOUTS__SCHEDULE_TO_START": "5s",
    "QUEUES__DEFAULT__ON_SCHEDULE_TO_START": "keep",
    "PLATFORM__KIND": "none",
    "WORKER__SLOTS": "1",
    "LOG__FORMAT": "json",
}


@dataclass
class Incident:
    """What came of it. Times are Unix time."""

    stack: Stack
    told: Told
    watch: str = ""
    began: float = 0.0
    killed: float = 0.0
    paged: float = 0.0
    repaired: float = 0.0
    resolved: float = 0.0
    muted: list[dict[str, Any]] = field(default_factory=list)  # alerts that Alertmanager held back meanwhile
    findings: dict[str, Any] = field(default_factory=dict)  # what the watch told at /api/findings meanwhile

    def query(self, expr: str) -> list[dict[str, Any]]:
        """What an instant query gives now."""
        return ask(f"{self.stack.prometheus}/api/v1/query", query=expr)["data"]["result"]

    def series(self, selector: str) -> list[dict[str, str]]:
        """The labels of each series, as a variable of a dashboard asks for them."""
        return ask(f"{self.stack.prometheus}/api/v1/series", **{"match[]": selector})["data"]

    def over_time(self, expr: str) -> list[dict[str, Any]]:
        """What a query gives over the whole incident, every scrape."""
        end = time.time()
        steps = (end - self.began) // SCRAPE
        span = {"start": end - steps * SCRAPE, "end": end, "step": SCRAPE}
        return ask(f"{self.stack.prometheus}/api/v1/query_range", query=expr, **span)["data"]["result"]


def ask(url: str, **parameters: Any) -> Any:
    """GET, and the JSON of the answer."""
    with urllib.request.urlopen(f"{url}?{urllib.parse.urlencode(parameters)}", timeout=DEADLINE) as answer:
        return json.load(answer)


def until(look: Callable[[], T], what: str, within: float = DEADLINE) -> T:
    """What `look` gives as soon as it is true."""
    deadline = time.monotonic() + within
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {within:g} s: {what}"
        time.sleep(0.05)
    return found


class Gradewatch:
    """The commands, over one store in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port, self.worker_port = folder, free_port(), free_port()
        own = {name: value for name, value in os.environ.items() if not name.startswith("GRADEWATCH_")}
        mine = SETTINGS | {"STORE__URL": f"sqlite:///{folder / 'gradewatch.db'}"}
        mine["HTTP__PORT"] = str(self.port)
        self._environ = own | {f"GRADEWATCH_{name}": value for name, value in mine.items()}
        (folder / "gradewatch.toml").touch()

    def start(self, stack: ExitStack, command: str, *, worker_port: int = 0) -> subprocess.Popen[bytes]:
        environ = self._environ | {"GRADEWATCH_WORKER__HTTP_PORT": str(worker_port)}
        with (self.folder / f"{command}-{time.monotonic_ns()}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "gradewatch", command],
                cwd=self.folder, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        stack.callback(process.wait)
        stack.callback(process.kill)
        return process

    def run(self, *args: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "gradewatch", *args],
            cwd=self.folder, env=self._environ, capture_output=True, text=True, timeout=DEADLINE, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def submit(self) -> None:
        """A job of many typed papers: long enough to be killed in."""
        papers = self.folder / "papers"
        papers.mkdir(exist_ok=True)
        for source in sorted(EXAM.glob("papers/*.pdf"))[:10]:
            for copy in range(COPIES):
                target = papers / f"{copy:02}-{source.name}"
                if not target.exists():
                    target.write_bytes(source.read_bytes())
        self.run("submit", *map(str, sorted(papers.iterdir())), "--rubric", str(EXAM / "rubric.yaml"))


@contextmanager
def incident(folder: Path) -> Iterator[Incident]:
    with ExitStack() as stack:
        told = stack.enter_context(listening())
        gradewatch = Gradewatch(folder)
        servers = Stack(folder)
        watch = f"http://127.0.0.1:{gradewatch.port}"
        write_configs(
            folder, servers, told, watch, {"gradewatch": gradewatch.port, "gradewatch-worker": gradewatch.worker_port}
        )
        gradewatch.run("migrate")
        gradewatch.start(stack, "watch")
        worker = gradewatch.start(stack, "worker", worker_port=gradewatch.worker_port)
        stack.enter_context(servers)
        it = Incident(servers, told, watch, began=time.time())
        until(lambda: len(it.query("up == 1")) == 2, "watch and worker are scraped")
        until(lambda: it.query("queue:gradewatch_workers_live:sum == 1"), "the worker is seen")
        worker.kill()
        it.killed = time.time()
        for _ in range(JOBS):
            gradewatch.submit()
        until(lambda: told.pages("trigger"), "somebody is paged")
        it.paged = time.time()
        stuck = 'ALERTS{alertname="GradewatchQueueStuck", alertstate="firing"}'
        until(lambda: it.query(stuck), "the symptom fires, too")
        it.muted = until(lambda: _muted(servers), "the symptom is muted")
        it.findings = until(lambda: _linked(watch), "the watch heard of it")

        worker = gradewatch.start(stack, "worker", worker_port=gradewatch.worker_port)
        it.repaired = time.time()
        until(lambda: told.pages("resolve"), "the page is resolved", within=2 * DEADLINE)
        it.resolved = time.time()
        until(
            lambda: it.query('queue_outcome:gradewatch_jobs_finished:rate5m{outcome="succeeded"} > 0'), "jobs are done"
        )
        _lose_one_of_two(stack, gradewatch, worker, watch)
        until(
            lambda: it.query('increase(gradewatch_remediations_total{action="requeue", outcome="applied"}[1m]) > 0'),
            "it is seen",
        )
        yield it


def _lose_one_of_two(stack: ExitStack, gradewatch: Gradewatch, worker: subprocess.Popen[bytes], watch: str) -> None:
    """Kill one of two workers in the middle of a job: the watch takes the job back, and nobody has to be paged."""
    gradewatch.start(stack, "worker")
    for _ in range(JOBS):
        gradewatch.submit()
    until(lambda: len(ask(f"{watch}/api/jobs", status="running")["jobs"]) == 2, "both run a job")
    worker.kill()


def write_configs(folder: Path, servers: Stack, told: Told, watch: str, ports: dict[str, int]) -> None:
    targets = {job: [f"127.0.0.1:{port}"] for job, port in ports.items()}
    config = prometheus_config(targets, servers.alertmanager_address, scrape=SCRAPE, labels={"namespace": "school"})
    (folder / "prometheus.yml").write_text(config)
    for name in ("recording_rules.yml", "alert_rules.yml"):
        (folder / name).write_text(scaled_rules(name, FACTOR))
    receiver = receiver_for(told, folder, watch, TOKEN)
    (folder / "alertmanager.yml").write_text(alertmanager_config(FACTOR, receiver, globals_for(told, folder)))


def _muted(servers: Stack) -> list[dict[str, Any]]:
    alerts = ask(f"{servers.alertmanager}/api/v2/alerts")
    return [alert for alert in alerts if alert["status"]["inhibitedBy"]]


def _linked(watch: str) -> dict[str, Any] | None:
    told: dict[str, Any] = ask(f"{watch}/api/findings")
    return told if any(finding["alerts"] for finding in told["findings"]) else None
