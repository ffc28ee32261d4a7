"""Texts and spans of time as people read them."""

from __future__ import annotations

MOST = 300  # characters of a name or a text that the page is given; the whole is on the job's own path

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def short(text: str, most: int = MOST) -> str:
    """At most `most` characters, and how many there were. What is in them is the page's to show as text."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"


def span(seconds: float) -> str:
    """Two units at most: 40 s, 3 min 20 s, 2 h 5 min."""
    left, parts = round(max(0.0, seconds)), []
    for size, unit in _UNITS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
        elif parts:
            break
    return " ".join(parts[:2]) or "0 s"


def count(number: int, one: str, many: str = "") -> str:
    """1 worker, 3 workers, 1,000 workers."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
