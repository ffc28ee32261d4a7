"""`gradewatch jobs run`: one job by hand, in the foreground."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from cli_kit import Place

from gradewatch.model import JobState

EXAM = Path(__file__).parents[2] / "examples" / "exam"
TYPED = sorted((EXAM / "papers").glob("*.pdf"))[:4]


def submitted(place: Place, papers: int = 4) -> str:
    files = map(str, TYPED[:papers])
    return place.run("submit", *files, "--rubric", str(EXAM / "rubric.yaml")).stdout.strip()


def test_it_runs_that_job_and_no_other(place: Place) -> None:
    other, job = submitted(place), submitted(place)
    done = place.run("jobs", "run", job)
    assert "4 papers: " in done.stdout
    assert f"Job {job} succeeded" in done.stderr
    assert "running " in done.stderr or "succeeded 4/4" in done.stderr
    assert place.json("jobs", "show", job)["progress"] == {"done": 4, "total": 4}
    assert place.json("jobs", "show", other)["status"] == "pending"
    assert place.json("jobs", "run", other)["status"] == "succeeded"
    [finding] = place.json("doctor", code=1)["findings"]
    assert finding["code"] == "worker_never_seen", "running a job by hand is no worker"


def test_what_is_not_pending_is_refused_in_words(place: Place) -> None:
    job = submitted(place)
    place.run("jobs", "run", job)
    refused = place.run("jobs", "run", job, code=1)
    assert f"Job {job} is succeeded: only a pending job can be run by hand" in refused.stderr
    assert f"gradewatch jobs requeue {job}" in refused.stderr
    assert place.json("jobs", "show", job)["attempt"] == 1
    assert "There is no job nope" in place.run("jobs", "run", "nope", code=1).stderr
    foreign = place.add_job(kind="export")
    assert "of kind 'export'" in place.run("jobs", "run", foreign, code=1).stderr


def test_a_job_that_fails_exits_1_and_says_why(place: Place) -> None:
    job = place.add_job(payload={"papers": "none"})
    failed = place.run("jobs", "run", job, code=1)
    assert f"Job {job} failed: " in failed.stderr
    assert place.json("jobs", "show", job)["error"]["code"] == "payload_invalid"


def test_ctrl_c_gives_it_back_uncharged(place: Place) -> None:
    papers = [str(path) for path in sorted((EXAM / "papers").glob("*.pdf"))]
    many = papers * 12
    job = place.run("submit", *many, "--rubric", str(EXAM / "rubric.yaml")).stdout.strip()
    environ = {**os.environ, "GRADEWATCH_WORKER__DRAIN": "0s"}
    command = [sys.executable, "-m", "gradewatch", "jobs", "run", job]
    running = subprocess.Popen(command, cwd=place.folder, env=environ, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 30
        while place.store(lambda store: store.job(job)).progress_done < 1:  # type: ignore[union-attr]
            assert running.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        _, told = running.communicate(timeout=20)
    finally:
        running.kill()
    assert (running.returncode, "is back in its queue" in told) == (130, True), told
    back = place.store(lambda store: store.job(job))
    assert back is not None
    assert (back.state, back.attempt) == (JobState.PENDING, 0)
