"""One setting as it was found, before anybody judged it; and the settings file as a list of them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from gradewatch.errors import ConfigError

LARGEST_FILE = 1 << 20
_WORD = re.compile(r'"[^"]*"|\'[^\']*\'|[A-Za-z0-9_-]+')
_HEADER = re.compile(r"\s*\[\[?([^\[\]]+)\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"""\s*((?:"[^"]*"|'[^']*'|[\w-]+)(?:\s*\.\s*(?:"[^"]*"|'[^']*'|[\w-]+))*)\s*=""")


@dataclass(frozen=True)
class Entry:
    """A value, the path of its key, and where it came from: a line of a file, or a variable's name."""

    path: tuple[str, ...]
    value: object
    origin: str
    folder: Path | None = None  # of the file that says it; None for a variable

    @property
    def key(self) -> str:
        return ".".join(self.path)


def read_file(path: Path) -> list[Entry]:
    """The entries of a settings file. ConfigError when it cannot be read or is not TOML; FileNotFoundError when it
    is not there."""
    content = _content(path)
    try:
        tree = tomllib.loads(content)
    except RecursionError as error:
        raise ConfigError([f"{path.name}: its values are nested too deeply to be settings"]) from error
    except ValueError as error:
        raise ConfigError([f"{path.name} is not valid TOML: {_position(error)}"]) from error
    lines = key_lines(content)
    return [Entry(key, value, f"{path.name}{_line(key, lines)}", path.parent) for key, value in _leaves(tree)]


def key_lines(content: str) -> dict[tuple[str, ...], int]:
    """The line on which each key or table of a TOML text begins, as far as plain looking tells."""
    lines: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(content.splitlines(), 1):
        if header := _HEADER.match(line):
            table = _words(header[1])
            lines.setdefault(table, number)
        elif key := _KEY.match(line):
            lines.setdefault((*table, *_words(key[1])), number)
    return lines


def _content(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "its name holds a null character"
        raise ConfigError([f"{path.name} cannot be read: {reason}"]) from error
    if len(raw) > LARGEST_FILE:
        raise ConfigError([f"{path.name} is larger than 1 MB: this is no settings file"])
    try:
        return raw.decode("utf-8-sig")  # some editors begin a file with a byte order mark
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path.name} is not UTF-8 text (byte {error.start}): save it as UTF-8"]) from error


def _position(error: ValueError) -> str:
    # The parser's own words may repeat a piece of the file, which may be a secret; its position cannot.
    found = re.search(r"\(at (line \d+, column \d+|end of document)\)\s*$", str(error))
    where = f" at {found[1]}" if found else ""
    return f"look{where} (text needs quotes, a key needs =, and each section may appear once)"


def _leaves(tree: Mapping[str, object]) -> Iterator[tuple[tuple[str, ...], object]]:
    """Every value that is no table, and every empty table, in the file's order."""
    stack: list[tuple[tuple[str, ...], object]] = [((), tree)]
    while stack:
        path, value = stack.pop()
        if isinstance(value, dict) and value:
            stack += [((*path, str(key)), inner) for key, inner in reversed(value.items())]
        elif path:
            yield path, value


def _words(dotted: str) -> tuple[str, ...]:
    return tuple(word.strip("\"'") for word in _WORD.findall(dotted))


def _line(key: tuple[str, ...], lines: Mapping[tuple[str, ...], int]) -> str:
    """The line of a key, or of the nearest table around it."""
    prefixes = (key[:length] for length in range(len(key), 0, -1))
    return next((f", line {lines[prefix]}" for prefix in prefixes if prefix in lines), "")
