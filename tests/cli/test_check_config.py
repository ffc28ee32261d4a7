from __future__ import annotations

import pytest
from cli_kit import Place


def test_good_settings(place: Place) -> None:
    told = place.run("check-config").stdout
    assert "none, these are the defaults" in told
    assert f'store.url = "sqlite:///{place.database}"' in told
    assert "retention.audit = 7776000" in told
    assert told.endswith("These settings can be used (0 warnings).\n")


def test_everything_that_is_wrong_at_once(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    (place.folder / "gradewatch.toml").write_text('[http]\nprot = 1\n[timeouts]\nheartbeat = "soon"\n')
    monkeypatch.setenv("GRADEWATCH_WORKER__SLOTS", "none")
    monkeypatch.setenv("GRADEWATCH_COLOUR", "red")
    result = place.run("check-config", code=2)
    assert result.stdout.count("error: ") == 3
    assert result.stdout.count("warning: ") == 1
    assert "did you mean" in result.stdout
    assert "3 errors: gradewatch does not start" in result.stdout
    assert "retention.audit" not in result.stdout, "nothing pushes the errors off the screen"
    told = place.json("check-config", code=2)
    assert (told["ok"], len(told["errors"]), len(told["warnings"])) == (False, 3, 1)


def test_where_the_settings_come_from(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    (place.folder / "gradewatch.toml").write_text("[http]\nport = 1234\n[queues.urgent]\n")
    monkeypatch.setenv("GRADEWATCH_WORKER__SLOTS", "5")
    told = place.json("check-config")
    assert told["sources"] == [str(place.folder / "gradewatch.toml"), "GRADEWATCH_WORKER__SLOTS"]
    assert told["settings"]["http"]["port"] == 1234
    assert told["settings"]["worker"]["slots"] == 5
    assert list(told["settings"]["queues"]) == ["urgent"]
    assert told["settings"]["remediation"]["budget"]["restart"] == {"count": 5, "window": 3600.0}


def test_no_secret_is_shown(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADEWATCH_HTTP__TOKEN", "hunter2")
    assert place.json("check-config")["settings"]["http"]["token"] == "(hidden)"
    monkeypatch.setenv("GRADEWATCH_STORE__URL", "postgresql://me:hunter2@db/x")
    result = place.run("check-config")
    assert "hunter2" not in result.output
