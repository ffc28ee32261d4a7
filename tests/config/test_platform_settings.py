"""Each kind of platform says what it needs, and which settings are none of its."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradewatch.config import Loaded, load

SECRET = "0123456789abcdef"


@pytest.fixture
def loaded(tmp_path: Path):
    def of(kind: str, lines: str = "", **environ: str) -> Loaded:
        (tmp_path / "gradewatch.toml").write_text(f'[platform]\nkind = "{kind}"\n{lines}\n')
        return load(environ=environ, cwd=tmp_path)

    return of


@pytest.mark.parametrize(
    ("kind", "lines", "environ"),
    [
        ("supervisor", 'targets = ["grader"]\nurl = "unix:///run/supervisor.sock"', {}),
        ("supervisor", 'targets = ["grader"]\nurl = "http://127.0.0.1:9001"', {}),
        ("systemd", 'targets = ["grader.service"]\nuser = true', {}),
        ("render", 'targets = ["srv-1"]', {"RENDER_API_KEY": "rnd_x"}),
        ("render", 'targets = ["srv-1"]\nurl = "http://127.0.0.1:8080"', {"RENDER_API_KEY": "rnd_x"}),
        ("command", 'restart = ["docker", "restart", "worker"]', {}),
        (
            "command",
            'targets = ["a", "b"]\nrestart = ["r", "{target}"]\nstatus = ["s", "{target}"]\nenv = ["X"]\n'
            'restart_timeout = "14s"',
            {},
        ),
        ("webhook", 'url = "https://ops.example/restart"', {"GRADEWATCH_WEBHOOK_SECRET": SECRET}),
        ("none", "", {}),
    ],
)
def test_what_suffices_is_taken_without_a_word(loaded, kind, lines, environ):
    got = loaded(kind, lines, **environ)
    assert (got.errors, got.warnings) == ((), ())
    assert got.settings.platform.kind == kind


@pytest.mark.parametrize(
    ("kind", "missing"),
    [
        ("supervisor", ["platform.targets", "platform.url"]),
        ("systemd", ["platform.targets"]),
        ("render", ["platform.targets", "RENDER_API_KEY"]),
        ("command", ["platform.restart"]),
        ("webhook", ["platform.url", "GRADEWATCH_WEBHOOK_SECRET"]),
    ],
)
def test_everything_that_a_kind_misses_is_told_at_once(loaded, kind, missing):
    got = loaded(kind)
    told = [*got.errors, *got.warnings]
    assert len(told) == len(missing)
    for text, name in zip(told, missing, strict=True):
        assert name in text
        assert f'platform.kind is "{kind}"' in text
    # A worker reads the same file, and starts without the watch's secrets.
    assert [name for name in missing if name.isupper()] == [
        m for t, m in zip(told, missing, strict=True) if t in got.warnings
    ]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ('url = "http://ann:secret@host:9001"', "without a user or a password"),
        ('url = "ftp://host"', "http://host:port"),
        ('url = "https://"', "http://host:port"),
        ('url = "https://a b"', "http://host:port"),
        ('restart = "docker restart worker"', "a list is needed, such as"),
        ("restart = [1]", "item 1: text in quotes is needed"),
        ('restart_timeout = "15s"', "a duration from 100ms to 14s is needed"),
        ("targets = 'a'\ntargets_ = 'b'", "did you mean targets?"),
    ],
)
def test_a_wrong_value_is_refused_with_what_would_be_right(loaded, lines, words):
    errors = "\n".join(loaded("command", lines).errors)
    assert words in errors
    assert "secret" not in errors


def test_a_url_of_another_kind_is_refused(loaded):
    got = loaded("webhook", 'url = "unix:///run/x.sock"', GRADEWATCH_WEBHOOK_SECRET=SECRET)
    assert "needs a platform.url that begins with http:// or https://" in got.errors[0]
    got = loaded("supervisor", 'targets = ["a"]\nurl = "https://host"')
    assert "http:// or unix://" in got.errors[0]


def test_settings_of_another_kind_are_doubted(loaded):
    got = loaded("systemd", 'targets = ["a"]\nrestart = ["x"]\nurl = "http://x"')
    assert got.errors == ()
    assert [w.split()[0] for w in got.warnings] == ["platform.url", "platform.restart"]
    assert loaded("process", 'targets = ["a"]').warnings[0].startswith("platform.targets changes nothing")


def test_a_guessable_secret_is_doubted_and_not_shown(loaded):
    [warning] = loaded("webhook", 'url = "https://x"', GRADEWATCH_WEBHOOK_SECRET="hunter2").warnings
    assert "can be guessed" in warning
    assert "hunter2" not in warning


def test_one_command_for_several_workers_must_name_them(loaded):
    [error] = loaded("command", 'targets = ["a", "b"]\nrestart = ["r", "worker"]').errors
    assert "platform.restart has no {target}" in error


def test_a_command_in_a_variable_is_a_list_too(tmp_path):
    environ = {
        "GRADEWATCH_PLATFORM__KIND": "command",
        "GRADEWATCH_PLATFORM__RESTART": '["sh", "-c", "echo a b, c"]',
    }
    assert load(environ=environ, cwd=tmp_path).require().platform.restart == ("sh", "-c", "echo a b, c")
    bad = load(environ={**environ, "GRADEWATCH_PLATFORM__RESTART": "docker restart x"}, cwd=tmp_path)
    assert "a list is needed" in bad.errors[0]


def test_the_webhooks_secret_is_no_unknown_variable(loaded):
    got = loaded("none", GRADEWATCH_WEBHOOK_SECRET=SECRET)
    assert (got.errors, got.warnings) == ((), ())
