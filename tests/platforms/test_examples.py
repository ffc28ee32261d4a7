"""The examples for supervisord and systemd: taken by those themselves, and in step with our settings."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from configparser import RawConfigParser
from pathlib import Path

import pytest
from real_parts import need

from gradewatch.config import Settings, load
from gradewatch.config.variables import path_of
from gradewatch.platforms.identity import TARGET
from gradewatch.worker.runtime import STOP_HEARTBEAT, STOP_JOBS, STOP_SESSION, STOP_WRITES

EXAMPLES = Path(__file__).parents[2] / "examples"
UNITS = sorted(EXAMPLES.glob("systemd/*.service"))
STOP = Settings().worker.drain + STOP_JOBS + STOP_WRITES + STOP_SESSION + STOP_HEARTBEAT


def unit(path: Path) -> dict[str, list[str]]:
    """Each key with its values, in whatever section."""
    keys: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            keys.setdefault(key, []).append(value)
    return keys


def analysed(path: Path) -> str:
    """What `systemd-analyze verify` has to say of a unit."""
    need("systemd-analyze", shutil.which("systemd-analyze") is not None, "sudo apt-get install systemd")
    command = ["systemd-analyze", "verify", "--man=no", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return done.stdout + done.stderr


def settings_of(environ: dict[str, str], folder: Path):
    loaded = load(environ=environ, cwd=folder)
    assert (loaded.errors, loaded.warnings) == ((), ())
    return loaded.settings


@pytest.mark.parametrize("path", UNITS, ids=lambda p: p.name)
def test_systemd_itself_takes_each_unit(path: Path, tmp_path: Path) -> None:
    name = path.name.replace("@.", "@1.")
    (tmp_path / name).write_text(path.read_text().replace("/opt/gradewatch/bin/gradewatch", sys.executable))
    ours = [line for line in analysed(tmp_path / name).splitlines() if "gradewatch" in line]
    assert ours == []


def test_a_misspelt_unit_is_noticed(tmp_path: Path) -> None:
    """The check itself."""
    text = UNITS[0].read_text().replace("/opt/gradewatch/bin/gradewatch", sys.executable)
    (tmp_path / "gradewatch-x.service").write_text(text.replace("RestartSec=", "RestartSecs="))
    assert "RestartSecs" in analysed(tmp_path / "gradewatch-x.service")


def test_a_unit_has_time_to_drain_and_a_watchdog_for_a_loop_that_stands_still() -> None:
    worker = unit(EXAMPLES / "systemd" / "gradewatch-worker@.service")
    assert int(worker["TimeoutStopSec"][0]) >= STOP + 5
    assert int(worker["WatchdogSec"][0]) >= 60, "one that is merely busy is not ended"
    assert (worker["Type"], worker["NotifyAccess"]) == (["notify"], ["main"])
    assert f"{TARGET}=%n" in worker["Environment"]


def test_the_watchs_unit_says_what_it_watches(tmp_path: Path) -> None:
    environ = dict(
        line.split("=", 1) for line in unit(EXAMPLES / "systemd" / "gradewatch-watch.service")["Environment"]
    )
    platform = settings_of(environ, tmp_path).platform
    assert platform.kind == "systemd"
    rule = (EXAMPLES / "systemd" / "50-gradewatch.rules").read_text()
    [pattern] = re.findall(r"/\^(.*)\$/", rule)
    assert all(re.fullmatch(pattern, name) for name in platform.targets), "the polkit rule is for those units"


def test_supervisords_example(tmp_path: Path) -> None:
    conf = RawConfigParser(inline_comment_prefixes=(";",))
    conf.read(EXAMPLES / "supervisor" / "gradewatch.conf")
    worker, watch = conf["program:gradewatch-worker"], conf["program:gradewatch-watch"]
    assert int(worker["stopwaitsecs"]) >= STOP + 5
    environ = dict(re.findall(r'(\w+)="([^"]*)"', watch["environment"]))
    platform = settings_of(environ, tmp_path).platform
    assert (platform.kind, platform.targets) == ("supervisor", ("gradewatch-worker",))
    assert all(path_of(name) for name in environ)


def test_supervisord_itself_takes_its_example(tmp_path: Path) -> None:
    need("supervisor", importlib.util.find_spec("supervisor") is not None, "pip install supervisor")
    options = importlib.import_module("supervisor.options")
    text = (EXAMPLES / "supervisor" / "gradewatch.conf").read_text()
    text = re.sub(r"user=gradewatch.*|directory=.*|stdout_logfile=.*", "", text)
    (tmp_path / "supervisord.conf").write_text("[supervisord]\n" + text)
    parsed = options.ServerOptions()
    parsed.realize(args=["-c", str(tmp_path / "supervisord.conf")])
    groups = {g.name: [p.name for p in g.process_configs] for g in parsed.process_group_configs}
    assert groups == {
        "gradewatch-watch": ["gradewatch-watch"],
        "gradewatch-worker": ["gradewatch-worker_0", "gradewatch-worker_1"],
    }
