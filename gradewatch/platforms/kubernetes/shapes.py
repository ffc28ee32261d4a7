"""Parts of an object of whatever shape: what is not there, or is something else, is empty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Json = Mapping[str, Any]


def part(of: Json, key: str) -> Json:
    found = of.get(key)
    return found if isinstance(found, Mapping) else {}


def parts(of: Json, key: str) -> Sequence[Json]:
    found = of.get(key)
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else ()


def number(of: Json, key: str) -> int:
    found = of.get(key)
    return found if isinstance(found, int) else 0
