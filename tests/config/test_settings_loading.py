"""What loading gives for files and variables that a person might write."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradewatch.config import Budget, Loaded, load
from gradewatch.errors import ConfigError
from gradewatch.model import ActionKind


def loaded(folder: Path, toml: str | None = None, **environ: str) -> Loaded:
    if toml is not None:
        (folder / "gradewatch.toml").write_text(toml)
    return load(environ=environ, cwd=folder)


def only_error(result: Loaded) -> str:
    assert len(result.errors) == 1, result.errors
    return result.errors[0]


def test_without_anything_the_defaults_hold_and_nothing_is_said(tmp_path: Path) -> None:
    result = loaded(tmp_path)
    assert (result.errors, result.warnings, result.sources) == ((), (), ())
    assert result.require().store.url == f"sqlite:///{tmp_path}/gradewatch.db"
    assert list(result.settings.queues) == ["default"]


def test_a_variable_overrides_the_file(tmp_path: Path) -> None:
    result = loaded(
        tmp_path,
        '[http]\nport = 1\nhost = "0.0.0.0"',
        GRADEWATCH_HTTP__PORT="2",
        GRADEWATCH_REMEDIATION__BUDGET__RESTART="9/2h",
        GRADEWATCH_QUEUES__TASKS__ON_LOST="keep",
    )
    settings = result.require()
    assert (settings.http.host, settings.http.port) == ("0.0.0.0", 2)
    assert settings.remediation.budget[ActionKind.RESTART] == Budget(9, 7200.0)
    assert settings.remediation.budget[ActionKind.EXPIRE] == Budget(1000, 600.0)
    assert settings.queues["tasks"].on_lost == "keep"
    assert "default" not in settings.queues
    assert result.sources == (
        str(tmp_path / "gradewatch.toml"),
        "GRADEWATCH_HTTP__PORT",
        "GRADEWATCH_QUEUES__TASKS__ON_LOST",
        "GRADEWATCH_REMEDIATION__BUDGET__RESTART",
    )


def test_queues_inherit_the_timeouts_they_do_not_set(tmp_path: Path) -> None:
    toml = '[timeouts]\nheartbeat = "8s"\n[queues.a]\n[queues.b]\nheartbeat = "9s"\nschedule_to_start = 90'
    queues = loaded(tmp_path, toml).require().queues
    assert (queues["a"].timeouts.heartbeat, queues["a"].timeouts.schedule_to_start) == (8.0, 300.0)
    assert (queues["b"].timeouts.heartbeat, queues["b"].timeouts.schedule_to_start) == (9.0, 90.0)


def test_a_variable_finds_a_queue_whose_name_it_cannot_spell(tmp_path: Path) -> None:
    result = loaded(tmp_path, "[queues.My-Queue]", GRADEWATCH_QUEUES__MY_QUEUE__PAUSED="yes")
    assert [(name, queue.paused) for name, queue in result.require().queues.items()] == [("My-Queue", True)]


def test_every_error_is_told_at_once_with_line_and_suggestion(tmp_path: Path) -> None:
    toml = """
[http]
port = "9k"
tokn = "x"

[queue.tasks]
on_lost = "fail"
kinds = ["grade"]

[watch]
heartbeat = "1s"

[remediation]
mode = "dryrun"
"""
    result = loaded(tmp_path, toml, GRADEWATCH_TIMEOUTS__HARTBEAT="15s", GRADEWATCH_LOG__LEVEL="loud")
    assert result.errors == (
        'http.port (gradewatch.toml, line 3) holds "9k": a whole number from 0 to 65535 is needed, such as 9464',
        "http.tokn (gradewatch.toml, line 4): no such key; did you mean token?",
        "queue (gradewatch.toml, line 7): no such section; did you mean queues?",
        "watch.heartbeat (gradewatch.toml, line 11): no such key; did you mean timeouts.heartbeat?",
        'remediation.mode (gradewatch.toml, line 14) holds "dryrun": act, dry-run or off is needed; '
        "did you mean dry-run?",
        'log.level (GRADEWATCH_LOG__LEVEL) holds "loud": debug, info, warning, error or critical is needed',
        "timeouts.hartbeat (GRADEWATCH_TIMEOUTS__HARTBEAT): no such key; did you mean heartbeat?",
    )
    with pytest.raises(ConfigError) as raised:
        result.require()
    assert raised.value.problems == result.errors


@pytest.mark.parametrize(
    ("toml", "part"),
    [
        ("port = 1", "did you mean http.port?"),
        ("store = 'x'", "store (gradewatch.toml, line 1): is a section, not a value: set its keys, such as store.url"),
        ("[[queues]]\nname = 'x'", "name the queue, such as [queues.tasks]"),
        ("[http.port]\nx = 1", "http.port (gradewatch.toml, line 2): is one value, not a section"),
        ("[queues.t]\npreset = 'mongo-tasks'", "it must be the database of that application"),
        ("[queues._other]", "a queue's name has 1 to 63 letters"),
        ("[queues.t]\nkinds = []", "at least one kind of job is needed"),
        ("[queues.t]\nkinds = [1]", "item 1: text in quotes is needed"),
        ("[queues.t]\npaused = 1", "holds 1: true or false is needed"),
        ("[http]\nhost = 'http://x'", 'holds "http://…": an address or a host\'s name is needed'),
        ("[http]\nport = true", "holds true: a whole number"),
        ("[http]\nport = 0x" + "f" * 5000, "holds a very large number"),
        ("[timeouts]\nheartbeat = 'soon'", 'holds "soon": a duration is needed, such as 500ms'),
        ("[timeouts]\nheartbeat = '900ms'", "a duration from 1s to 3650d is needed"),
        ("[timeouts]\nheartbeat = nan", "a duration from 1s"),
        ("[timeouts]\nstart_to_close = '99999d'", "a duration from 1ms to 3650d"),
        ("[timeouts]\nstart_to_close = -5", "a duration from 1ms"),
        ("[remediation]\nbudget = '5/1h'", "remediation.budget (gradewatch.toml, line 2): is a section"),
        ("[remediation]\nbudget = { restart = '5 an hour' }", 'such as "5/1h"'),
        ("[remediation]\nbudget = { restrat = '5/1h' }", "did you mean restart?"),
        ("[worker]\nmax_paper_bytes = '64 megs'", "a size is needed, such as 512KB"),
        ("[worker]\nreview_below = 60", "a number from 0 to 1 is needed"),
        ("[platform]\nkind = 'proces'", "did you mean process?"),
        ("[watch]\nmaintenance = ['0 2 * * 0 90m']", "the weekday is needed by name"),
        ("[watch]\nmaintenance = ['0 25 * * * 90m']", "item 1: the hour field is no cron expression"),
        ("[watch]\nmaintenance = ['0 2 * * * 9d']", "a window of at most 7d"),
        ("[watch]\nmaintenance = ['0 2 * *']", "five cron fields and a length"),
        ("[remediation]\ncooldown = '1h'", "longer than remediation.cooldown_max"),
        ("[retention]\naudit = '30m'", "what was spent would be forgotten"),
        ("[remediation]\nbudget = {rescue = '1/99d'}\n[watch]\nrescue = true", "what was spent would be forgotten"),
        ("[worker]\nhttp_port = 9464", "worker.http_port and http.port are both 9464"),
        ("[worker]\nhttp_port = 80\nprocesses = 2", "several processes cannot share a port"),
        ("[http]\ntoken = 'two words'", "http.token (gradewatch.toml, line 2) holds (hidden)"),
        ("[http\nport = 1", "gradewatch.toml is not valid TOML: look at line 1"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, toml: str, part: str) -> None:
    assert part in only_error(loaded(tmp_path, toml))


@pytest.mark.parametrize(
    ("toml", "part"),
    [
        ("[watch]\ninterval = '20s'", "watch.interval is 20s and timeouts.heartbeat is 15s"),
        ("[watch]\nrescue = true\nrescue_after = '5m'", "watch.rescue_after is 5m and timeouts.schedule_to_start"),
        ("[timeouts]\nschedule_to_start = '10s'", "jobs are failed before a silent worker is noticed"),
        ("[queues.q]\nheartbeat = '31m'\nschedule_to_start='1h'", "queues.q.heartbeat is 31m"),
        ("[store]\ntimeout = '20s'", "one slow call costs the watch its lease"),
        ("[remediation]\nverify = '1s'", "a restart is judged before the watch looks again"),
        ("[remediation]\nbudget = { restart = '0/1h' }", "that repair is never made"),
        ("[watch]\nmax_queues = 1\n[queues.a]\n[queues.b]", "2 queues are configured and watch.max_queues is 1"),
        ("[http]\ntoken = 'short'", "http.token has fewer than 16 characters"),
    ],
)
def test_what_is_doubtful_is_a_warning(tmp_path: Path, toml: str, part: str) -> None:
    result = loaded(tmp_path, toml)
    assert result.errors == ()
    assert len(result.warnings) == 1
    assert part in result.warnings[0]
    assert "gradewatch.toml, line " in result.warnings[0]


def test_a_value_already_refused_is_not_judged_a_second_time(tmp_path: Path) -> None:
    error = only_error(loaded(tmp_path, "[remediation]\ncooldown = '1h'\ncooldown_max = 'x'"))
    assert error.startswith("remediation.cooldown_max (gradewatch.toml, line 3) holds")


class TestVariables:
    def test_one_underscore_too_few_is_an_error(self, tmp_path: Path) -> None:
        assert "did you mean GRADEWATCH_STORE__URL?" in only_error(loaded(tmp_path, GRADEWATCH_STORE_URL="sqlite:///x"))

    def test_what_kubernetes_sets_for_a_service_is_left_alone(self, tmp_path: Path) -> None:
        result = loaded(
            tmp_path,
            GRADEWATCH_SERVICE_HOST="10.0.0.1",
            GRADEWATCH_SERVICE_PORT_HTTP="9464",
            GRADEWATCH_PORT="tcp://10.0.0.1:9464",
            GRADEWATCH_PORT_9464_TCP_ADDR="10.0.0.1",
            GRADEWATCH_HTTP_PORT="tcp://10.0.0.2:80",
        )
        assert (result.errors, result.warnings) == ((), ())

    def test_an_unknown_name_and_an_empty_value_are_warned_of(self, tmp_path: Path) -> None:
        result = loaded(tmp_path, GRADEWATCH_VERBOSE="1", GRADEWATCH_HTTP__PORT=" ")
        assert result.settings.http.port == 9464
        assert [warning.partition(" ")[0] for warning in result.warnings] == [
            "GRADEWATCH_HTTP__PORT",
            "GRADEWATCH_VERBOSE",
        ]

    def test_an_empty_token_takes_the_files_away(self, tmp_path: Path) -> None:
        result = loaded(tmp_path, "[http]\ntoken = '0123456789abcdef'", GRADEWATCH_HTTP__TOKEN="")
        assert result.require().http.token == ""

    def test_lists_may_be_written_both_ways(self, tmp_path: Path) -> None:
        for value in ("grade,regrade", '["grade", "regrade"]'):
            result = loaded(tmp_path, GRADEWATCH_QUEUES__Q__KINDS=value)
            assert result.require().queues["q"].kinds == ("grade", "regrade")
        result = loaded(tmp_path, GRADEWATCH_WATCH__MAINTENANCE="0 2,14 * * sun 90m; 0 0 1 * * 1h")
        assert result.require().watch.maintenance == ("0 2,14 * * sun 90m", "0 0 1 * * 1h")


class TestFile:
    def test_a_named_file_must_exist(self, tmp_path: Path) -> None:
        assert "nowhere.toml does not exist" in only_error(load(Path("nowhere.toml"), {}, cwd=tmp_path))
        assert "(GRADEWATCH_CONFIG) does not exist" in only_error(loaded(tmp_path, GRADEWATCH_CONFIG="nowhere.toml"))

    def test_an_argument_goes_before_the_variable(self, tmp_path: Path) -> None:
        (tmp_path / "a.toml").write_text("[http]\nport = 1")
        (tmp_path / "b.toml").write_text("[http]\nport = 2")
        environ = {"GRADEWATCH_CONFIG": "b.toml"}
        assert load(None, environ, cwd=tmp_path).require().http.port == 2
        assert load(Path("a.toml"), environ, cwd=tmp_path).require().http.port == 1

    @pytest.mark.parametrize(
        ("content", "part"),
        [
            (b"\xff\xfe[\x00h\x00", "is not UTF-8 text"),
            (b"x = " + b"[" * 5000, "nested too deeply"),
            (b"#" * (2 << 20), "larger than 1 MB"),
        ],
    )
    def test_a_file_that_is_none(self, tmp_path: Path, content: bytes, part: str) -> None:
        (tmp_path / "gradewatch.toml").write_bytes(content)
        assert part in only_error(load(environ={}, cwd=tmp_path))

    def test_a_folder_is_no_file(self, tmp_path: Path) -> None:
        assert "cannot be read" in only_error(load(tmp_path, {}, cwd=tmp_path))

    def test_a_byte_order_mark_is_no_fault(self, tmp_path: Path) -> None:
        (tmp_path / "gradewatch.toml").write_bytes(b"\xef\xbb\xbf[http]\nport = 7\n")
        assert load(environ={}, cwd=tmp_path).require().http.port == 7


def test_what_a_supervisor_hands_down_is_no_setting() -> None:
    handed = {"GRADEWATCH_TARGET": "worker-1", "GRADEWATCH_INCARNATION": "worker-1.a1", "GRADEWATCH_PARENT_PID": "7"}
    loaded = load(None, handed)
    assert loaded.errors == loaded.warnings == ()
