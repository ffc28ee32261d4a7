"""An entry of the report, and the arithmetic that leads to one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Entry = dict[str, Any]
"""name, value, unit, bar (None: only worth knowing), ok, and where it helps detail."""


def at_most(name: str, value: float, unit: str, bar: float, detail: str = "") -> Entry:
    return _entry(name, value, unit, bar, value < bar, detail)


def at_least(name: str, value: float, unit: str, bar: float, detail: str = "") -> Entry:
    return _entry(name, value, unit, bar, value >= bar, detail)


def worth_knowing(name: str, value: float, unit: str, detail: str = "") -> Entry:
    return _entry(name, value, unit, None, True, detail)


def _entry(name: str, value: float, unit: str, bar: float | None, ok: bool, detail: str) -> Entry:
    entry: Entry = {"name": name, "value": _rounded(value), "unit": unit, "bar": bar, "ok": ok}
    return {**entry, "detail": detail} if detail else entry


def _rounded(value: float) -> float:
    return round(value) if abs(value) >= 1000 else round(value, 3)


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest value that at least `percent` of them do not exceed (nearest rank); of 50 values, p99 is the
    largest."""
    rank = -(-len(values) * percent // 100)
    return sorted(values)[max(rank, 1) - 1]


def spread(values: Sequence[float], unit: str) -> str:
    """The detail of a figure that stands for many values."""
    return f"{len(values)} taken, median {percentile(values, 50):.3g} {unit}, largest {max(values):.3g} {unit}"
