"""Logs: one line an event on standard error, coloured on a terminal, JSON for machines."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import time
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TextIO

from gradewatch.cli.lean import structlog
from gradewatch.cli.redact import redact

LEVELS = {name: getattr(logging, name.upper()) for name in ("debug", "info", "warning", "error", "critical")}


_JSON = json.JSONEncoder(default=str)
_STACK = structlog.processors.StackInfoRenderer()


class LineLogger:
    """Writes each event as one whole line. Where nobody can read it any more (a closed pipe, a full disk), the event
    is lost and the work goes on: a job must not fail for its log."""

    def __init__(self, name: str, stream: TextIO) -> None:
        self.name = name
        self._stream = stream

    def msg(self, line: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # ValueError: the stream was closed
            self._stream.write(line + "\n")
            self._stream.flush()

    debug = info = warning = error = critical = exception = msg


class _LibraryHandler(logging.Handler):
    """What libraries say by the standard library's logging, brought into the same form."""

    def __init__(self, emit: Callable[..., None]) -> None:
        super().__init__(logging.WARNING)
        self._say = emit

    def emit(self, record: logging.LogRecord) -> None:
        level = record.levelname.lower()
        self._say(record.name, level if level in LEVELS else "warning", record.getMessage(), record.exc_info)


def set_up_logs(format_: str, level: str, stream: TextIO | None = None) -> None:
    """Route every log line of this process to `stream` (standard error). `format_` is auto, console or json; auto is
    console on a terminal; `level` the lowest that is written. Libraries are heard from warning upwards."""
    out = stream or sys.stderr
    console = format_ == "console" or (format_ == "auto" and out.isatty())
    structlog.configure(
        processors=_processors(_console(out) if console else _json),
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=lambda name="gradewatch", *_: LineLogger(name, out),
        cache_logger_on_first_use=out is sys.__stderr__,  # only the process's own stream stays the same for its life
    )
    _route_libraries(LEVELS[level])


def _processors(renderer: Any) -> list[Any]:
    return [structlog.contextvars.merge_contextvars, _with_trace, redact, _in_reading_order, renderer]


def _in_reading_order(logger: LineLogger, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """When, how grave, where and what come first. JSON keeps this order, and people read JSON too."""
    seconds, micros = divmod(time.time_ns() // 1000, 1_000_000)
    now = f"{_second(seconds)}.{micros:06d}Z"
    return {"timestamp": now, "level": method, "logger": logger.name, "event": event.pop("event", ""), **event}


@lru_cache(maxsize=4)
def _second(since_epoch: int) -> str:
    """A busy worker writes thousands of lines in one second."""
    return datetime.fromtimestamp(since_epoch, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _with_trace(logger: LineLogger, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Few lines tell of an error: those alone pay for it."""
    if "exc_info" in event or "stack_info" in event:
        event = structlog.processors.format_exc_info(logger, method, _STACK(logger, method, event))
    return event


def _json(logger: LineLogger, method: str, event: MutableMapping[str, Any]) -> str:
    return _JSON.encode(event)


def _console(out: TextIO) -> Any:
    return structlog.dev.ConsoleRenderer(
        colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback, pad_event_to=28
    )


def _route_libraries(level: int) -> None:
    def say(name: str, method: str, message: str, exc_info: Any) -> None:
        getattr(structlog.get_logger(name), method)(message, **({"exc_info": exc_info} if exc_info else {}))

    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _LibraryHandler)]:
        root.removeHandler(handler)
    root.addHandler(_LibraryHandler(say))
    root.setLevel(max(level, logging.WARNING))
