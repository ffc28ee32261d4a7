"""Maintenance windows: when repairs rest. "0 2 * * sun 90m" is Sundays from 02:00 UTC, for ninety minutes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gradewatch.config.values import Wrong, duration, text

FIELDS = ("minute", "hour", "day", "month", "day_of_week")
LONGEST_WINDOW = 7 * 86400.0


@dataclass(frozen=True)
class Window:
    """A cron expression of five fields, in UTC, and how long the window stays open from each of its moments."""

    cron: str
    seconds: float


def parse_window(raw: str) -> Window:
    """The window that `raw` describes. Raises Wrong (a ValueError) with what would be right."""
    parts = raw.split()
    if len(parts) != len(FIELDS) + 1:
        raise Wrong('five cron fields and a length are needed, such as "0 2 * * sun 90m"')
    for field, expression in zip(FIELDS, parts[:5], strict=True):
        _check_field(field, expression)
    seconds = duration(at_least=1.0)(parts[5])
    assert isinstance(seconds, float)
    if seconds > LONGEST_WINDOW:
        raise Wrong('a window of at most 7d is needed; to hold repairs for longer, use mode = "off"')
    return Window(" ".join(parts[:5]), seconds)


def window(raw: object) -> str:
    """Reader of one window: its text, once it is known to be right."""
    parse_window(text(raw))
    return " ".join(text(raw).split())


def _check_field(field: str, expression: str) -> None:
    from apscheduler.triggers.cron import CronTrigger  # costs 40 ms: paid only by those who set a window

    if field == "day_of_week" and re.search(r"(?<!/)\b[0-9]", expression):
        # Cron counts weekdays from Sunday, APScheduler from Monday: a number would mean another day to each.
        raise Wrong(
            "the weekday is needed by name (mon to sun), because its number means different days to different tools"
        )
    try:
        CronTrigger(**{field: expression}, timezone="UTC")
    except (ValueError, TypeError) as error:
        raise Wrong(f"the {field.replace('_', ' ')} field is no cron expression, such as 0, */15, 1-5 or *") from error
