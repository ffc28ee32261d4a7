"""PURE. What PostgreSQL's column types mean for whoever compares with them, over whatever way in."""

from __future__ import annotations

import uuid

TIMES = frozenset({"timestamp with time zone", "timestamp without time zone"})


def may_be(text: str, kind: str) -> bool:
    """May a text be an id of that type? PostgreSQL would refuse the whole statement for one that is not."""
    if kind == "uuid":
        try:
            uuid.UUID(text)
        except ValueError:
            return False
    if kind in ("integer", "bigint", "smallint"):
        return text.removeprefix("-").isdecimal() and len(text) <= 18
    return "\x00" not in text
