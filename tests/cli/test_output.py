from __future__ import annotations

import io
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gradewatch.cli.output import echo_table, lasting, mark, moment, to_json
from gradewatch.model import ActionKind, ControlFacts, JobError, JobState, Pause

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.0s"),
        (-3, "0.0s"),
        (0.44, "0.4s"),
        (42.4, "42s"),
        (59.7, "1m"),
        (200, "3m20s"),
        (1800, "30m"),
        (7500, "2h05m"),
        (86400 * 3 + 4 * 3600, "3d04h"),
    ],
)
def test_durations_read_at_a_glance(seconds: float, words: str) -> None:
    assert lasting(seconds) == words


def test_times_and_marks_are_written_for_people() -> None:
    assert moment(NOW) == "2026-03-02 09:00:00"
    assert moment(None) == ""
    assert [mark(number) for number in (7.0, 7.5, None)] == ["7", "7.5", ""]


def test_values_of_the_model_become_json() -> None:
    facts = ControlFacts(NOW, pause=Pause(NOW, None, "me"), spent={(ActionKind.RESTART, "default"): 2})
    value = {"facts": facts, "state": JobState.FAILED, "error": JobError("x", "y"), "set": {1}, "inf": float("inf")}
    read = json.loads(to_json({**value, "path": Path("/x")}))
    assert read["facts"]["now"] == "2026-03-02T09:00:00.000Z"
    assert read["facts"]["pause"] == {"started_at": read["facts"]["now"], "until": None, "by": "me", "reason": ""}
    assert read["facts"]["spent"] == {"restart:default": 2}
    assert (read["state"], read["error"], read["set"]) == ("failed", {"code": "x", "message": "y"}, [1])
    assert (read["inf"], read["path"]) == (None, "/x")


def test_a_piped_table_is_aligned_and_keeps_every_word(capsys: pytest.CaptureFixture[str]) -> None:
    echo_table(("name", "note"), [("a", "x" * 200), ("longer", "two\nlines")])
    assert capsys.readouterr().out.splitlines() == ["name    note", "a       " + "x" * 200, "longer  two lines"]


def test_a_table_on_a_terminal_has_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    echo_table(("job", "state"), [("[bold]j1", "failed")])
    assert "\x1b[31mfailed" in terminal.getvalue()
    assert "[bold]j1" in terminal.getvalue(), "a name is never read as markup"
