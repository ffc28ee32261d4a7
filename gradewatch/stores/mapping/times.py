"""PURE. Times as other applications keep them: datetimes, ISO 8601 text, seconds or milliseconds since 1970."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

MILLISECONDS = 1e11  # a number beyond it counts milliseconds: as seconds it would be the year 5138
EARLIEST = datetime(1971, 1, 1, tzinfo=UTC)  # zero, in seconds or as a year, is how many programs say "not yet"
_ISO = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?([.,](\d{1,9}))?\s?(Z|z|UTC|[+-]\d\d(:?\d\d)?)?", re.ASCII)


class Unreadable(ValueError):
    """The value is no time. The text says of which kind it is, never what it holds."""


def read_time(value: Any) -> datetime | None:
    """A time in UTC; one without a zone is taken to be in UTC. None for no value. Raises Unreadable."""
    if value is None:
        return None
    try:
        when = _read(value)
    except (OverflowError, OSError):
        raise Unreadable("a time that no calendar has") from None
    if when < EARLIEST:
        raise Unreadable(f"a time before {EARLIEST.year}, when no job was queued")
    return when


def _read(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    if isinstance(value, str):
        return _read_text(value.strip())
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _read_number(value)
    raise Unreadable(f"a value of type {type(value).__name__} is no time")


def _read_text(text: str) -> datetime:
    found = _ISO.fullmatch(text)
    if found is None:
        raise Unreadable("text that is no ISO 8601 time" if text else "empty text is no time")
    fraction, zone = found[3], found[4]
    plain = text[: found.start(2)] if fraction else text[: found.start(4)].rstrip() if zone else text
    try:
        when = datetime.fromisoformat(plain).replace(microsecond=int((fraction or "0")[:6].ljust(6, "0")))
        offset = "+00:00" if zone in (None, "Z", "z", "UTC") else zone
        return datetime.fromisoformat(f"{when.isoformat()}{offset}").astimezone(UTC)
    except ValueError:
        raise Unreadable("text that names no day or hour there is") from None


def _read_number(value: float) -> datetime:
    try:
        return datetime.fromtimestamp(value / 1000 if value > MILLISECONDS else value, UTC)
    except ValueError:
        raise Unreadable("a number that is no time since 1970") from None


def time_like(sample: Any, when: datetime) -> Any:
    """`when` in the form of `sample`, so that a field keeps the type that its application wrote; milliseconds, because
    that is what every store can hold. Where there is no sample, a datetime in UTC."""
    when = when.astimezone(UTC).replace(microsecond=when.microsecond // 1000 * 1000)
    if isinstance(sample, datetime):
        return when.replace(tzinfo=None) if sample.tzinfo is None else when
    if isinstance(sample, str):
        return _text_like(sample.strip(), when)
    if isinstance(sample, int | float) and not isinstance(sample, bool):
        seconds = when.timestamp() * (1000 if sample > MILLISECONDS else 1)
        return round(seconds) if isinstance(sample, int) else seconds
    return when


def _text_like(sample: str, when: datetime) -> str:
    found = _ISO.fullmatch(sample)
    if found is None:
        return when.isoformat(timespec="milliseconds")
    digits = len(found[3] or "")
    text = when.strftime(f"%Y-%m-%d{sample[10]}%H:%M:%S")
    if digits:
        text += "." + f"{when.microsecond:06d}".ljust(9, "0")[:digits]
    zone = found[4] or ""
    return text + (zone if zone in ("", "Z", "z", "UTC") else "+00:00")
