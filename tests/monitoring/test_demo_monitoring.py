"""`gradewatch demo --monitoring`: the story is told, everything stays to be looked at, and Ctrl-C ends it cleanly."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from monitoring.incident import ask, until

from gradewatch.demo import monitoring
from gradewatch.errors import GradewatchError


@pytest.mark.acceptance
@pytest.mark.timeout(400)
def test_the_demo_can_be_looked_at(servers: None, tmp_path: Path) -> None:
    told = tmp_path / "told.txt"
    with told.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "gradewatch", "demo", "--monitoring"], cwd=tmp_path, stdout=stream, stderr=stream
        )
    try:
        until(lambda: "everything stays" in told.read_text() or process.poll() is not None, "the story ends", 300)
        text = told.read_text()
        assert process.poll() is None, text
        (prometheus,) = re.findall(r"Prometheus is at (\S+),", text)
        assert "GradewatchWatchdog (firing)" in text
        assert ask(f"{prometheus}/api/v1/query", query="sum(queue:gradewatch_workers_live:sum)")["data"]["result"]
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) >= 4  # two servers, two workers
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0, told.read_text()
        assert not [child for child in children if child.is_running()]
    finally:
        process.kill()
        process.wait()
    assert json.loads((tmp_path / "demo-report.json").read_text())["graded"] == 30


def test_missing_programs_are_named_with_the_command_that_brings_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert monitoring.missing_programs() == ["prometheus", "alertmanager"]
    with pytest.raises(GradewatchError, match="apt-get install prometheus prometheus-alertmanager"):
        monitoring.Stack(tmp_path).__enter__()


def test_a_server_that_does_not_come_up_says_why_and_leaves_nothing_behind(servers: None, tmp_path: Path) -> None:
    (tmp_path / "alertmanager.yml").write_text("route: { receiver: nobody }\nreceivers: []\n")
    before = psutil.Process().children()
    with pytest.raises(GradewatchError, match=r"alertmanager does not come up: .*undefined receiver"):
        monitoring.Stack(tmp_path).__enter__()
    assert psutil.Process().children() == before


def test_the_files_lie_in_the_tree() -> None:
    assert (monitoring.monitoring_folder() / "alertmanager" / "alertmanager.yml").is_file()
