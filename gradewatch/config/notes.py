"""What loading has to say: errors and warnings, each once, in the order found, fit for a terminal."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class Notes:
    def __init__(self) -> None:
        self._errors: dict[str, None] = {}
        self._warnings: dict[str, None] = {}

    def error(self, text: str) -> None:
        self._errors.setdefault(printable(text))

    def warn(self, text: str) -> None:
        self._warnings.setdefault(printable(text))

    @property
    def errors(self) -> tuple[str, ...]:
        return tuple(self._errors)

    @property
    def warnings(self) -> tuple[str, ...]:
        return tuple(self._warnings)


def printable(text: str) -> str:
    """`text` with control characters and broken Unicode escaped, so that no value can play with a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode("ascii") for c in text)


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """ "; did you mean X?" for the closest of `words`, or nothing."""
    spelled = {known.lower(): known for known in words}
    close = difflib.get_close_matches(word.lower(), spelled, n=1, cutoff=0.6)
    return f"; did you mean {spelled[close[0]]}?" if close else ""
