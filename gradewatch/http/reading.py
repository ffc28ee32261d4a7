"""What a request says, read with suspicion: every wrong shape is a 4xx that says what would be right."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any, NoReturn

from aiohttp import web

from gradewatch.config.notes import did_you_mean
from gradewatch.http.problems import Problem, invalid

BODY = 64 * 1024  # bytes
BODY_SECONDS = 8.0  # a slow sender's share of the request's deadline
TEXT = 200  # characters of an id, a name, a queue


async def read_object(request: web.Request, limit: int = BODY) -> dict[str, Any]:
    """The JSON object in the body; no body is an empty one. Raises Problem 400, 408, 413 or 415."""
    if request.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise Problem(415, "unsupported_encoding", "a compressed body is not read", fix="send it uncompressed")
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > limit:
                    raise Problem(413, "body_too_large", f"the body is larger than {limit} bytes")
    except TimeoutError:
        raise Problem(408, "body_too_slow", f"the body did not arrive within {BODY_SECONDS:g} s") from None
    return parse_object(bytes(body))


def parse_object(body: bytes) -> dict[str, Any]:
    if not body.strip():
        return {}
    try:
        value = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise invalid(
            f"the body is not JSON: {_short(error)}", 'send an object, such as {"reason": "deploy"}'
        ) from None
    if not isinstance(value, dict):
        raise invalid("the body is JSON, but no object", 'send an object, such as {"reason": "deploy"}')
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _short(error: Exception) -> str:
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)[:200]


def checked_text(name: str, value: object, *, most: int = TEXT) -> str:
    """`value` as one line of printable text of 1 to `most` characters. Raises Problem 400."""
    if not isinstance(value, str) or not value or len(value) > most or not value.isprintable():
        raise invalid(f"{name} must be 1 to {most} printable characters")
    return value


class Fields:
    """The members of a body, each asked for by name and type; a member nobody knows is an error, not ignored:
    a misspelt `for` would otherwise pause the repairs without an end."""

    def __init__(self, data: dict[str, Any], known: Sequence[str]) -> None:
        for key in data:
            if key not in known:
                shown = key if key.isprintable() and len(key) <= 40 else "that name"
                raise invalid(f"there is no field {shown!r}{did_you_mean(shown, known)}", f"known: {', '.join(known)}")
        self._data = data

    def text(self, name: str, *, most: int = TEXT) -> str:
        """Empty when absent or null."""
        value = self._data.get(name)
        return "" if value is None or value == "" else checked_text(name, value, most=most)

    def whole(self, name: str, low: int, high: int) -> int | None:
        """None when absent or null."""
        value = self._data.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise invalid(f"{name} must be a whole number from {low} to {high}")
        return value

    def seconds(self, name: str, most: float) -> float:
        """Nought when absent or null."""
        value = self._data.get(name)
        if value is None:
            return 0.0
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
            raise invalid(f"{name} must be a number of seconds from 0 to {most:.0f}")
        return float(value)


def query_text(request: web.Request, name: str) -> str | None:
    """A query parameter as text; None when absent or empty."""
    value = request.query.get(name)
    return checked_text(name, value) if value else None


def query_whole(request: web.Request, name: str, low: int, high: int) -> int | None:
    """A query parameter as a whole number; None when absent or empty."""
    value = request.query.get(name)
    if not value:
        return None
    if not (value.isascii() and value.isdigit() and len(value) <= 19 and low <= int(value) <= high):
        raise invalid(f"{name} must be a whole number from {low} to {high}")
    return int(value)
