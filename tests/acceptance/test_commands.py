"""The real commands as processes, in a folder of their own."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from real_parts import need

pytestmark = pytest.mark.acceptance

GRADEWATCH = [sys.executable, "-m", "gradewatch"]
EXAM = Path(__file__).parents[2] / "examples" / "exam"
RUBRIC = ("--rubric", str(EXAM / "rubric.yaml"))
DEADLINE = 60.0  # seconds for anything to happen on a machine that is busy with other tests


class Service:
    """A command that stays. Its log is read from a file while it runs."""

    def __init__(self, place: Place, *args: str) -> None:
        self.log = place.folder / f"{args[0]}-{len(place.services)}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([*GRADEWATCH, *args], cwd=place.folder, env=place.env, stderr=log)

    def lines(self) -> list[dict[str, Any]]:
        """Every whole line so far; each must be JSON."""
        return [json.loads(line) for line in self.log.read_text().splitlines(keepends=True) if line.endswith("\n")]

    def wait_for(self, event: str) -> dict[str, Any]:
        """The first line of that event."""
        return until(
            lambda: next((line for line in self.lines() if line["event"] == event), None),
            lambda: f"no {event!r} in:\n{self.log.read_text()}",
        )

    def end(self, *signals: signal.Signals) -> int:
        for number in signals:
            self.process.send_signal(number)
        return self.process.wait(DEADLINE)


def until(look: Callable[[], Any], otherwise: Callable[[], str]) -> Any:
    """What `look` gives as soon as it is true."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError(otherwise())


class Place:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        clean = {name: value for name, value in os.environ.items() if not name.startswith("GRADEWATCH_")}
        self.env = clean | {"GRADEWATCH_HTTP__PORT": "0"}
        self.services: list[Service] = []

    def start(self, *args: str) -> Service:
        self.services.append(Service(self, *args))
        return self.services[-1]

    def run(self, *args: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*GRADEWATCH, *args],
            cwd=self.folder,
            env=self.env,
            check=False,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )
        assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def job(self, job_id: str) -> dict[str, Any]:
        told = json.loads(self.run("jobs", "show", job_id, "--json").stdout)
        assert isinstance(told, dict)
        return told

    def finished(self, job_id: str) -> dict[str, Any]:
        return until(  # type: ignore[no-any-return]
            lambda: (job := self.job(job_id))["status"] in ("succeeded", "failed", "cancelled") and job,
            lambda: f"not finished: {self.job(job_id)}",
        )


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    for service in place.services:
        if service.process.poll() is None:
            service.process.kill()
            service.process.wait(DEADLINE)


def papers(*numbers: int) -> list[str]:
    return [str(next((EXAM / "papers").glob(f"{number:02d}-*"))) for number in numbers]


def test_doctor_on_a_queue_whose_worker_never_ran(place: Place) -> None:
    place.run("submit", *papers(1), *RUBRIC)
    told = place.run("doctor", code=1).stdout
    assert told.startswith("1 job waits and no worker has ever been seen on default.\n")
    assert "worker_never_seen" in told
    assert re.search(r"fix +Start a worker", told)
    assert re.search(r"command +gradewatch worker", told)


def test_submit_then_a_worker_then_the_marks(place: Place) -> None:
    job = place.run("submit", *papers(1, 2, 3), *RUBRIC).stdout.strip()
    worker = place.start("worker")
    assert place.finished(job)["status"] == "succeeded"
    assert worker.wait_for("job finished")["job"] == job
    assert [line["event"] for line in worker.lines()][:2] == ["worker started", "processing job"]
    assert place.run("doctor").stdout.startswith("Healthy: 1 worker alive, 0 jobs wait, 0 running.\n")
    assert worker.end(signal.SIGTERM) == 0
    assert worker.wait_for("worker stopped")
    expected = json.loads((EXAM / "marks.json").read_text())["papers"]
    marks = {paper["name"]: paper["marks"] for paper in place.job(job)["papers"]}
    assert len(marks) == 3
    assert marks == {name: expected[name]["marks"] for name in marks}


def test_run_does_it_all_on_the_embedded_default(place: Place) -> None:
    service = place.start("run")
    assert service.wait_for("store prepared")["migrations"]
    url = service.wait_for("watch started")["url"]
    pid = service.wait_for("worker started")["pid"]
    done = place.run("submit", *papers(1, 2), *RUBRIC, "--wait")
    assert "2 papers: 2 graded" in done.stderr
    assert place.job(done.stdout.strip())["status"] == "succeeded"
    with urllib.request.urlopen(f"{url}/livez", timeout=10) as answer:
        assert answer.status == 200
    assert service.end(signal.SIGINT) == 130
    assert not Path(f"/proc/{pid}").exists(), "the worker is gone with its supervisor"


def test_a_second_signal_gives_the_job_back_at_once(place: Place) -> None:
    need("rapidocr", importlib.util.find_spec("rapidocr") is not None, "pip install 'gradewatch[ocr]'")
    place.env["GRADEWATCH_WORKER__DRAIN"] = "10m"
    job = place.run("submit", *papers(*range(17, 29)), *RUBRIC).stdout.strip()
    worker = place.start("worker")
    worker.wait_for("processing job")
    worker.process.send_signal(signal.SIGTERM)
    worker.wait_for("worker draining")
    assert worker.end(signal.SIGTERM) == 0
    shown = place.job(job)
    assert (shown["status"], shown["attempt"]) == ("pending", 0)


def test_a_second_signal_ends_run_at_once_and_its_worker_gives_the_job_back(place: Place) -> None:
    need("rapidocr", importlib.util.find_spec("rapidocr") is not None, "pip install 'gradewatch[ocr]'")
    place.env["GRADEWATCH_WORKER__DRAIN"] = "10m"
    service = place.start("run")
    service.wait_for("worker started")
    job = place.run("submit", *papers(*range(17, 29)), *RUBRIC).stdout.strip()
    service.wait_for("processing job")
    service.process.send_signal(signal.SIGTERM)
    service.wait_for("worker draining")
    assert service.end(signal.SIGTERM) == 0
    given_back = until(lambda: (found := place.job(job))["status"] == "pending" and found, service.log.read_text)
    assert given_back["attempt"] == 0


def test_watch_fails_a_job_that_nobody_started_and_says_so(place: Place) -> None:
    place.env["GRADEWATCH_TIMEOUTS__SCHEDULE_TO_START"] = "1s"
    place.env["GRADEWATCH_WATCH__INTERVAL"] = "200ms"
    job = place.run("submit", *papers(1), *RUBRIC).stdout.strip()
    watch = place.start("watch")
    watch.wait_for("finding")
    shown = place.finished(job)
    assert shown["status"] == "failed"
    assert shown["error"]["message"]
    repair = watch.wait_for("repair")
    found = {line["code"] for line in watch.lines() if line["event"] == "finding"}
    assert found == {"worker_never_seen", "job_timed_out"}
    assert (repair["action"], repair["subject"], repair["outcome"]) == ("expire", job, "applied")
    assert watch.end(signal.SIGTERM) == 0
    assert repair["sweep"] in place.run("audit").stdout
    place.run("undo", repair["sweep"])
    assert place.job(job)["status"] == "pending"


@pytest.mark.parametrize("command", ["run", "worker", "watch", "doctor", "submit"])
def test_bad_settings_list_every_problem(place: Place, command: str) -> None:
    (place.folder / "gradewatch.toml").write_text('[htpp]\nport = 1\n[worker]\nslots = "two"\n')
    place.env["GRADEWATCH_TIMEOUTS__HEARTBEAT"] = "soon"
    args = (*papers(1), *RUBRIC) if command == "submit" else ()
    told = place.run(command, *args, code=2)
    for problem in ("htpp", "did you mean", "worker.slots", "GRADEWATCH_TIMEOUTS__HEARTBEAT"):
        assert problem in told.stderr
    assert "Traceback" not in told.stderr
    assert not (place.folder / "gradewatch.db").exists()


@pytest.mark.parametrize("command", ["run", "worker", "watch"])
def test_a_file_that_is_no_database_stops_the_start(place: Place, command: str) -> None:
    letter = b"Dear aunt, " * 1000
    (place.folder / "gradewatch.db").write_bytes(letter)
    told = place.run(command, code=2)
    assert told.stderr.startswith("error: ")
    assert "not an SQLite database" in told.stderr
    assert (place.folder / "gradewatch.db").read_bytes() == letter


def test_a_port_that_is_taken_stops_the_start(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place.env["GRADEWATCH_HTTP__PORT"] = str(taken.getsockname()[1])
        told = place.run("watch", code=2).stderr
    assert "error: " in told
    assert place.env["GRADEWATCH_HTTP__PORT"] in told
    assert "Traceback" not in told
