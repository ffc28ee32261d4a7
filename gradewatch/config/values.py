"""Readers: each turns one raw value (a TOML value or a variable's text) into a setting, or says what would be right.

A reader raises `Wrong` with what is needed and never repeats the value itself: only `redact.shown` may do that.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Callable, Sequence

from gradewatch.config.notes import did_you_mean
from gradewatch.config.settings import Budget

Reader = Callable[[object], object]

LONGEST = 3650 * 86400.0  # ten years: more than that would overflow the arithmetic of dates

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART = re.compile(r"\s*([0-9]{1,12}(?:\.[0-9]{1,9})?)\s*(ms|s|m|h|d|w)", re.IGNORECASE)
_BARE = re.compile(r"-?[0-9]{1,12}(?:\.[0-9]{1,9})?")
_WHOLE = re.compile(r"-?[0-9][0-9_]{0,18}")
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,3})?)\s*(|B|KB|KIB|MB|MIB|GB|GIB)", re.IGNORECASE)
_BUDGET = re.compile(r"\s*([0-9]{1,9})\s*/\s*(.+)")
_HOST = re.compile(r"[A-Za-z0-9_.:%-]{1,255}")
_ENDPOINT = re.compile(r"(https?://([!-.0-~]{1,255})(/[!-~]{0,2000})?|unix:///[!-~]{1,100})")
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,62}(\.[A-Za-z_][A-Za-z0-9_-]{0,62}){0,4}")
_TRUE, _FALSE = frozenset({"true", "yes", "on", "1"}), frozenset({"false", "no", "off", "0"})


class Wrong(ValueError):
    """What would be right in place of the value; never holds the value."""


def parse_duration(text: str) -> float:
    """Seconds of "5m", "1h30m", "500ms", or of a bare number. Raises Wrong (a ValueError)."""
    stripped = text.strip()
    if _BARE.fullmatch(stripped):
        return float(stripped)
    total, at = 0.0, 0
    while at < len(stripped):
        part = _PART.match(stripped, at)
        if part is None:
            raise Wrong("a duration is needed, such as 500ms, 30s, 5m, 1h30m or 2d")
        total, at = total + float(part[1]) * _UNITS[part[2].lower()], part.end()
    if not stripped:
        raise Wrong("a duration is needed, such as 500ms, 30s, 5m, 1h30m or 2d")
    return total


def spell(seconds: float) -> str:
    """A duration as people write it: 5400 is "1h30m". Exact to the millisecond."""
    left, words = round(seconds * 1000), ""
    for unit, length in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, left = divmod(left, length)
        words += f"{count}{unit}" if count else ""
    return words or "0s"


def duration(at_least: float = 0.001, at_most: float = LONGEST) -> Reader:
    def read(raw: object) -> float:
        if isinstance(raw, bool) or not isinstance(raw, int | float | str):
            raise Wrong("a duration is needed, such as 30s or 5m")
        seconds = parse_duration(raw) if isinstance(raw, str) else _number(raw)
        if not at_least <= seconds <= at_most:
            raise Wrong(f"a duration from {spell(at_least)} to {spell(at_most)} is needed")
        return seconds

    return read


def whole(low: int, high: int, example: int) -> Reader:
    needed = f"a whole number from {low} to {high} is needed, such as {example}"

    def read(raw: object) -> int:
        if isinstance(raw, str) and _WHOLE.fullmatch(raw.strip()):
            raw = int(raw.strip().replace("_", ""))
        if isinstance(raw, bool) or not isinstance(raw, int) or not low <= raw <= high:
            raise Wrong(needed)
        return raw

    return read


def fraction(raw: object) -> float:
    if isinstance(raw, str) and _BARE.fullmatch(raw.strip()):
        raw = float(raw.strip())
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not 0 <= raw <= 1:
        raise Wrong("a number from 0 to 1 is needed, such as 0.6")
    return float(raw)


def size(low: int, high: int) -> Reader:
    """Bytes. KB, MB and GB count in 1024s, as KiB, MiB and GiB do."""

    def read(raw: object) -> int:
        found = _SIZE.fullmatch(raw.strip()) if isinstance(raw, str) else None
        if found:
            raw = int(float(found[1]) * 1024 ** "BKMG".index((found[2] or "B")[0].upper()))
        if isinstance(raw, bool) or not isinstance(raw, int):
            raise Wrong("a size is needed, such as 512KB, 64MB or 1GB")
        if not low <= raw <= high:
            raise Wrong(f"a size from {low} bytes to {high >> 30}GB is needed")
        return raw

    return read


def flag(raw: object) -> bool:
    spoken = str(raw).strip().lower() if isinstance(raw, str | bool) else ""
    if spoken in _TRUE or spoken in _FALSE:
        return spoken in _TRUE
    raise Wrong("true or false is needed")


def word(*words: str, later: Sequence[str] = ()) -> Reader:
    """One of `words`; `later` are words that are known, and not in this version."""
    choice = " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))

    def read(raw: object) -> str:
        spoken = raw.strip().lower() if isinstance(raw, str) else ""
        if spoken in later:
            raise Wrong(f"{spoken} is not in this version, which has {choice}")
        if spoken not in words:
            raise Wrong(f"{choice} is needed{did_you_mean(spoken, words)}")
        return spoken

    return read


def text(raw: object) -> str:
    if not isinstance(raw, str):
        raise Wrong("text in quotes is needed")
    return raw


def host(raw: object) -> str:
    """An address to listen on: a host's name, or an IPv4 or IPv6 address."""
    stripped = text(raw).strip()
    if not _HOST.fullmatch(stripped):
        raise Wrong("an address or a host's name is needed, such as 127.0.0.1, 0.0.0.0 or ::")
    return stripped


def endpoint(raw: object) -> str:
    """An address to send requests to, or nothing. Credentials have no place in it: they are variables."""
    stripped = text(raw).strip()
    if not stripped:
        return ""
    parts = _ENDPOINT.fullmatch(stripped)
    if not parts or "@" in (parts[2] or ""):
        raise Wrong("http://host:port, https://… or unix:///path/of/a.sock is needed, without a user or a password")
    return stripped


def argument(raw: object) -> str:
    """One argument of a command, which may be empty and may hold blanks."""
    if not isinstance(raw, str) or "\0" in raw or len(raw) > 4096:
        raise Wrong("text in quotes is needed, one for each argument")
    return raw


def name(raw: object) -> str:
    """Text that is not empty, without blanks around it or control characters in it."""
    stripped = text(raw).strip()
    if not stripped or not stripped.isprintable() or len(stripped) > 255:
        raise Wrong("a name is needed: 1 to 255 printable characters")
    return stripped


def field_name(raw: object) -> str:
    """A field's, column's, table's or collection's name, with dots for what lies within; empty: there is none."""
    stripped = text(raw).strip()
    if stripped and not _FIELD.fullmatch(stripped):
        raise Wrong("a field's name is needed: letters, digits, underscores, dashes, and dots between parts")
    return stripped


def number_or_field(raw: object) -> str:
    """A field's name, or a whole number as text."""
    if isinstance(raw, int) and not isinstance(raw, bool) and 0 < raw < 10**9:
        return str(raw)
    return text(raw).strip() if isinstance(raw, str) and raw.strip().isdecimal() else field_name(raw)


def scalar(raw: object) -> str | int | float | bool | None:
    """What may be written into a field; the text `null` means no value."""
    if isinstance(raw, str):
        return None if raw == "null" else raw
    if isinstance(raw, bool | int | float):
        return raw
    raise Wrong('text, a number, true, false or "null" is needed; "$now", "$error" and "$code" stand for those')


def token(raw: object) -> str:
    """A bearer token: what an HTTP header can carry. Empty turns the POST routes off."""
    if not isinstance(raw, str) or len(raw) > 4096 or not all("!" <= c <= "~" for c in raw):
        raise Wrong("text of printable ASCII without blanks or line ends is needed, or nothing to turn POST routes off")
    return raw


def listing(item: Reader, separator: str, example: str) -> Reader:
    """A list as the file has it; in a variable also plain items parted by `separator`."""

    def read(raw: object) -> tuple[object, ...]:
        parts = _parts(raw, separator) if isinstance(raw, str) else raw
        if not isinstance(parts, list):
            raise Wrong(f"a list is needed, such as {example}")
        items = []
        for position, part in enumerate(parts, 1):
            try:
                items.append(item(part))
            except Wrong as wrong:
                raise Wrong(f"item {position}: {wrong}") from wrong
        return tuple(items)

    return read


def argv(example: str) -> Reader:
    """A program and its arguments, as a list in a variable too: how plain text is to be cut, nobody can tell."""
    read_list = listing(argument, "\n", example)

    def read(raw: object) -> object:
        if isinstance(raw, str) and not raw.lstrip().startswith("["):
            raise Wrong(f"a list is needed, such as {example}")
        return read_list(raw)

    return read


def filled(reader: Reader, needed: str) -> Reader:
    def read(raw: object) -> object:
        value = reader(raw)
        if not value:
            raise Wrong(needed)
        return value

    return read


def budget(raw: object) -> Budget:
    found = _BUDGET.fullmatch(raw) if isinstance(raw, str) else None
    if found is None:
        raise Wrong('a count and a window are needed, such as "5/1h" for at most five in an hour')
    window = duration(at_least=1.0)(found[2])
    assert isinstance(window, float)
    return Budget(int(found[1]), window)


def _parts(raw: str, separator: str) -> object:
    if not raw.lstrip().startswith("["):
        return [part for part in raw.split(separator) if part.strip()]
    try:
        return tomllib.loads(f"list = {raw}")["list"]
    except (ValueError, RecursionError):
        return None


def _number(raw: int | float) -> float:
    try:
        seconds = float(raw)
    except OverflowError:
        seconds = math.inf
    return seconds
