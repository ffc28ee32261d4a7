"""How values look: JSON for programs, tables for people, and one spelling each for durations and times."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import click


def plain(value: Any) -> Any:
    """A value of the model as JSON can carry it: dataclasses as objects, times as ISO 8601 in UTC."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bool | int | str) or value is None:
        return value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {_key(key): plain(item) for key, item in value.items()}
    if isinstance(value, Collection) and not isinstance(value, bytes):
        return [plain(item) for item in value]
    return str(value)


def _key(key: Any) -> str:
    return ":".join(map(_key, key)) if isinstance(key, tuple) else str(plain(key))


def to_json(value: Any) -> str:
    return json.dumps(plain(value), indent=2, allow_nan=False)


def echo_json(value: Any) -> None:
    click.echo(to_json(value))


def lasting(seconds: float) -> str:
    """A duration to read at a glance, two units at most: 0.4s, 42s, 3m20s, 2h05m, 3d04h."""
    seconds = max(0.0, seconds)
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    for length, unit, lesser, rest in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= length:
            left = whole % length // lesser
            return f"{whole // length}{unit}" + (f"{left:02d}{rest}" if left else "")
    return f"{whole}s"


def moment(at: datetime | None) -> str:
    """A time in UTC, to the second."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if at else ""


def mark(number: float | None) -> str:
    """Marks as a teacher writes them: 7, 7.5."""
    return "" if number is None else f"{number:g}"


def echo_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, err: bool = False) -> None:
    """A table with lines and colours on a terminal; aligned plain text, nothing cut off, anywhere else."""
    stream = sys.stderr if err else sys.stdout
    if stream.isatty():
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
        for row in rows:
            table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
        Console(file=stream).print(table)
        return
    lines = [list(columns), *([_one_line(cell) for cell in row] for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(columns))]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip(), err=err)


def _one_line(cell: str) -> str:
    return " ".join(cell.split())


_STYLES = {
    **dict.fromkeys(("succeeded", "graded", "alive", "applied", "put back"), "green"),
    **dict.fromkeys(("failed", "dead"), "red"),
    **dict.fromkeys(("needs_review", "suspect", "starved", "unknown", "suppressed", "left alone"), "yellow"),
    **dict.fromkeys(("cancelled", "noop", "dry_run"), "dim"),
}
