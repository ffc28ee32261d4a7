from __future__ import annotations

import json
import subprocess
import sys

import click
import pytest
from cli_kit import Place
from click.testing import CliRunner

from gradewatch import __version__
from gradewatch.cli.root import COMMANDS, root


def test_help_lists_every_command_in_reading_order(place: Place) -> None:
    shown = place.run("--help").stdout.split("Commands:")[1]
    assert [line.split()[0] for line in shown.strip().splitlines()] == list(COMMANDS)
    assert "..." not in shown, "each says what it does in one line"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(place: Place, name: str) -> None:
    assert f"Usage: gradewatch {name}" in place.run(name, "--help").stdout.replace("root", "gradewatch", 1)


def test_version(place: Place) -> None:
    assert __version__ in place.run("--version").stdout


@pytest.mark.parametrize(("typed", "meant"), [(["jbos"], "jobs"), (["jobs", "requeu"], "requeue")])
def test_a_mistyped_command_is_recognised(place: Place, typed: list[str], meant: str) -> None:
    assert f"Did you mean '{meant}'?" in place.run(*typed, code=2).stderr


def test_an_option_of_gradewatch_itself_is_shown_its_place(place: Place) -> None:
    told = place.run("check-config", "--config", "x.toml", code=2).stderr
    assert "--config goes before the command" in told
    assert "--config … check-config" in told
    assert "goes before" not in place.run("check-config", "--colour", code=2).stderr


def test_every_command_that_ends_can_answer_a_program() -> None:
    def without(group: click.Group, ctx: click.Context) -> list[str]:
        commands = [command for name in group.list_commands(ctx) if (command := group.get_command(ctx, name))]
        found = [c.name or "" for c in commands if not any("--json" in param.opts for param in c.params)]
        groups = [command for command in commands if isinstance(command, click.Group)]
        return [name for name in found if name not in {group.name for group in groups}] + [
            name for inner in groups for name in without(inner, ctx)
        ]

    assert without(root, click.Context(root)) == ["run", "worker"]


def test_every_problem_of_the_settings_is_told_at_once(place: Place) -> None:
    (place.folder / "gradewatch.toml").write_text('[http]\nport = "x"\n[wach]\ninterval = 1\n')
    told = place.run("jobs", "list", code=2).stderr
    assert told.startswith("error: the settings cannot be used: 2 problems\n  - ")
    assert "http.port" in told
    assert "watch" in told


def test_the_settings_file_is_the_one_that_is_named(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    (place.folder / "other.toml").write_text("[http]\nport = 1234\n")
    assert place.json("--config", "other.toml", "check-config")["settings"]["http"]["port"] == 1234
    monkeypatch.setenv("GRADEWATCH_CONFIG", "other.toml")
    assert place.json("check-config")["settings"]["http"]["port"] == 1234
    assert "nowhere.toml" in place.run("--config", "nowhere.toml", "doctor", code=2).stderr


def test_warnings_are_said_on_standard_error(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADEWATCH_COLOUR", "red")
    place.run("migrate")
    result = place.run("jobs", "list")
    assert "warning: GRADEWATCH_COLOUR" in result.stderr
    assert "warning" not in result.stdout


def test_a_database_file_that_is_none_is_one_clear_message(place: Place) -> None:
    place.database.write_bytes(b"this is a letter to my aunt\n" * 100)
    for command in (("jobs", "list"), ("audit",), ("migrate",), ("pause",), ("watch", "--once")):
        told = place.run(*command, code=2)
        assert "not an SQLite database" in told.stderr
        assert "Traceback" not in told.stderr
        assert told.stdout == ""
    assert place.database.read_bytes().startswith(b"this is a letter")


@click.command()
def broken() -> None:
    raise ZeroDivisionError("a fault of ours")


@click.command()
def interrupted() -> None:
    raise KeyboardInterrupt


def test_a_fault_of_ours_keeps_its_traceback_and_ctrl_c_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = {"broken": broken, "interrupted": interrupted}
    monkeypatch.setattr(root, "get_command", lambda ctx, name: commands[name])
    result = CliRunner().invoke(root, ["broken"])
    assert isinstance(result.exception, ZeroDivisionError)
    result = CliRunner().invoke(root, ["interrupted"])
    assert (result.exit_code, result.output) == (130, "")


def test_a_worker_starts_without_what_it_does_not_need() -> None:
    """Its start counts in the time that a killed worker's job waits."""
    code = """
import json, sys
from gradewatch.cli.root import root
root.get_command(None, "worker")
import gradewatch.cli.embedded, gradewatch.cli.signals, gradewatch.config
from gradewatch import app
app.work, app.make_store
loaded = {name.partition(".")[0] for name in sys.modules}
print(json.dumps([name for name in sys.argv[1:] if name in loaded]))
"""
    heavy = ["rich", "yaml", "PIL", "aiohttp", "pypdfium2", "numpy", "apscheduler", "onnxruntime"]
    told = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, check=True, timeout=60)
    assert json.loads(told.stdout) == []


def test_a_reader_that_leaves_early_gets_no_traceback(place: Place) -> None:
    """As in `gradewatch audit | head -1`."""
    for number in range(3):
        place.add_job(key=str(number))
    command = f"{sys.executable} -m gradewatch jobs list --json | true"
    told = subprocess.run(["bash", "-c", command], check=False, capture_output=True, timeout=60, text=True)
    assert "Traceback" not in told.stderr
