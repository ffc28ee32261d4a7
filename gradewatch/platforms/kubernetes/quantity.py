"""Numbers and times as Kubernetes writes them."""

from __future__ import annotations

import re
from datetime import datetime

_QUANTITY = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?)(?:([eE][+-]?[0-9]{1,2})|([KMGTPE]i|[mkMGTPE]))?")
_FACTORS = {
    "": 1.0,
    "m": 0.001,
    **{f"{letter}i": 1024.0 ** (n + 1) for n, letter in enumerate("KMGTPE")},
    "k": 1000.0,
    **{letter: 1000.0 ** (n + 2) for n, letter in enumerate("MGTPE")},
}


def bytes_of(quantity: object) -> int:
    """Bytes of "512Mi", "1.5G", "128974848" or "129e6"; 0 for what is none."""
    found = _QUANTITY.fullmatch(str(quantity).strip()) if quantity is not None else None
    if found is None:
        return 0
    number, exponent, unit = found.groups()
    return int(float(number + (exponent or "")) * _FACTORS[unit or ""])


def moment(stamp: object) -> float | None:
    """Seconds since 1970 of an RFC 3339 time; None for what is none."""
    try:
        return datetime.fromisoformat(str(stamp)).timestamp() if stamp else None
    except ValueError:
        return None
