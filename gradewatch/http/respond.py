"""A JSON answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from gradewatch.http.wire import encode


def respond(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(body=encode(value), status=status, headers=headers, content_type="application/json")
