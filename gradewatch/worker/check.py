"""Checking plain data: every problem is noted with the path to it, none stops the check."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Any


class Check:
    """Collects problems. Each method gives back a usable value of the wanted type, whatever it was handed."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def add(self, path: str, message: str) -> None:
        self.problems.append(f"{path}: {message}" if path else message)

    def mapping(
        self, raw: Any, path: str, *, allowed: Sequence[str], required: Sequence[str] = ()
    ) -> Mapping[str, Any] | None:
        if not isinstance(raw, Mapping):
            self.add(path, f"must be a mapping with the keys {', '.join(allowed)}, not {describe(raw)}")
            return None
        for key in raw:
            if key not in allowed:
                near = difflib.get_close_matches(str(key)[:60], allowed, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(allowed)}"
                self.add(path, f"unknown key {str(key)[:60]!r}; {hint}")
        for key in required:
            if key not in raw:
                self.add(path, f"lacks {key!r}")
        return raw

    def items(self, raw: Any, path: str, *, most: int) -> Sequence[Any]:
        if not isinstance(raw, list | tuple):
            self.add(path, f"must be a list, not {describe(raw)}")
            return ()
        if len(raw) > most:
            self.add(path, f"has {len(raw):,} entries; at most {most:,} are read")
            return ()
        return raw

    def text(self, raw: Any, path: str, *, longest: int, empty: bool = False) -> str:
        """A whole number is taken as its digits, because `id: 1` is what people write."""
        if isinstance(raw, int) and not isinstance(raw, bool):
            raw = str(raw)
        if not isinstance(raw, str):
            self.add(path, f"must be text, not {describe(raw)}; put it in quotes")
            return ""
        if len(raw) > longest:
            self.add(path, f"is {len(raw):,} characters long; at most {longest:,} are read")
        elif not empty and not raw.strip():
            self.add(path, "must not be empty")
        return raw[:longest].strip()

    def flag(self, raw: Any, path: str) -> bool:
        if not isinstance(raw, bool):
            self.add(path, f"must be true or false, not {describe(raw)}")
        return raw is True

    def number(
        self,
        raw: Any,
        path: str,
        *,
        least: float = -math.inf,
        most: float = math.inf,
        above: float = -math.inf,
    ) -> float:
        if isinstance(raw, bool) or not isinstance(raw, int | float) or abs(raw) > 1e300 or raw != raw:
            self.add(path, f"must be a number, not {describe(raw)}")
            return 1.0
        if raw < least or raw <= above:
            self.add(path, f"must be {'more than' if raw <= above else 'at least'} {max(least, above):g}, not {raw:g}")
        elif raw > most:
            self.add(path, f"must be at most {most:g}, not {raw:g}")
        return float(raw)


def describe(raw: Any) -> str:
    """A short name for a wrong value, safe to show."""
    if raw is None:
        return "nothing"
    if isinstance(raw, bool):
        return f"the truth value {str(raw).lower()}"
    if isinstance(raw, Mapping):
        return "a mapping"
    if isinstance(raw, list | tuple):
        return "a list"
    if isinstance(raw, str):
        return f"the text {raw[:40]!r}"
    return (
        f"{str(raw)[:40]} ({type(raw).__name__})" if not isinstance(raw, int) or abs(raw) < 1e300 else "a huge number"
    )
