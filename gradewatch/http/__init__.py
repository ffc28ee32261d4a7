"""HTTP: health, metrics, the API, and control of the repairs.

Its parts are imported when they are first asked for: aiohttp is dear, and a worker has better things to do first.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradewatch.http.app import make_app, make_worker_app
    from gradewatch.http.port import reserve, url_of
    from gradewatch.http.server import Server, serve, serve_on

__all__ = ["Server", "make_app", "make_worker_app", "reserve", "serve", "serve_on", "url_of"]

_HOMES = {
    "Server": "server",
    "make_app": "app",
    "make_worker_app": "app",
    "reserve": "port",
    "serve": "server",
    "serve_on": "server",
    "url_of": "port",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
