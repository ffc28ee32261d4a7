from __future__ import annotations

import io
import json
import logging
from datetime import UTC, datetime

import pytest
import structlog

from gradewatch.cli.logs import set_up_logs

log = structlog.get_logger("gradewatch.somewhere")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_json_line_says_when_how_grave_what_and_where() -> None:
    out = io.StringIO()
    set_up_logs("auto", "info", out)
    log.info("job finished", job="j1")
    [line] = lines(out)
    assert {name: line[name] for name in ("level", "event", "logger", "job")} == {
        "level": "info",
        "event": "job finished",
        "logger": "gradewatch.somewhere",
        "job": "j1",
    }
    at = datetime.fromisoformat(str(line["timestamp"]))
    assert list(line)[:4] == ["timestamp", "level", "logger", "event"], "in the order of reading"
    assert abs((datetime.now(UTC) - at).total_seconds()) < 60


def test_a_terminal_gets_coloured_words_and_json_on_request() -> None:
    console, as_json = Terminal(), Terminal()
    set_up_logs("auto", "info", console)
    log.info("worker started", worker="w1")
    set_up_logs("json", "info", as_json)
    log.info("worker started", worker="w1")
    assert "\x1b[" in console.getvalue()
    assert "worker started" in console.getvalue()
    assert not console.getvalue().startswith("{")
    assert lines(as_json)[0]["worker"] == "w1"


def test_console_lines_in_a_file_have_no_colours() -> None:
    out = io.StringIO()
    set_up_logs("console", "info", out)
    log.info("worker started")
    assert "worker started" in out.getvalue()
    assert "\x1b" not in out.getvalue()


def test_what_lies_below_the_level_is_not_written() -> None:
    out = io.StringIO()
    set_up_logs("json", "warning", out)
    log.info("quiet")
    log.warning("loud")
    assert [line["event"] for line in lines(out)] == ["loud"]


def test_secrets_are_hidden_by_their_names_and_inside_urls() -> None:
    out = io.StringIO()
    set_up_logs("json", "info", out)
    log.info(
        "opened postgresql://me:hunter2@db/x",
        api_key="hunter2",
        http_token="hunter2",
        password=b"hunter2",
        headers={"Authorization": "hunter2", "Accept": "text/plain", "x": ["bearer hunter2"]},
        url="mongodb://user:hunter2@host/db",
        deep={"a": {"b": {"c": {"d": {"password": "hunter2"}}}}},
    )
    assert "hunter2" not in out.getvalue()
    [line] = lines(out)
    assert line["event"] == "opened postgresql://(hidden)@db/x"
    assert line["headers"] == {"Authorization": "(hidden)", "Accept": "text/plain", "x": ["bearer (hidden)"]}


def test_what_only_resembles_a_secret_stays_readable() -> None:
    out = io.StringIO()
    set_up_logs("json", "info", out)
    log.info("claimed", token=7, author="ada", keyword="mass", tokens_used=3, url="https://host/path?x=a@b")
    [line] = lines(out)
    assert (line["token"], line["author"], line["keyword"], line["tokens_used"]) == (7, "ada", "mass", 3)
    assert line["url"] == "https://host/path?x=a@b"


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_shows_no_local_variables(form: str) -> None:
    out = io.StringIO()
    set_up_logs(form, "info", out)
    try:
        password = "hunter2"
        raise ValueError(f"{len(password)} characters, at https://me:hunter3@host")
    except ValueError:
        log.exception("it broke")
    assert "ValueError: 7 characters" in out.getvalue()
    assert "hunter3" not in out.getvalue()
    assert "hunter2" not in out.getvalue()


def test_libraries_are_heard_from_warning_upwards_in_the_same_form() -> None:
    out = io.StringIO()
    set_up_logs("json", "debug", out)
    logging.getLogger("aiohttp.access").info("GET /metrics")
    logging.getLogger("aiohttp.server").error("Unhandled %s", "thing")
    [line] = lines(out)
    assert (line["logger"], line["level"], line["event"]) == ("aiohttp.server", "error", "Unhandled thing")


def test_setting_up_twice_writes_each_line_once() -> None:
    first, second = io.StringIO(), io.StringIO()
    set_up_logs("json", "info", first)
    set_up_logs("json", "info", second)
    logging.getLogger("library").warning("hello")
    assert first.getvalue() == ""
    assert len(lines(second)) == 1


def test_work_goes_on_where_nobody_reads_the_log() -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    set_up_logs("json", "info", Broken())
    log.info("lost")
    closed = io.StringIO()
    set_up_logs("json", "info", closed)
    closed.close()
    log.info("lost")
