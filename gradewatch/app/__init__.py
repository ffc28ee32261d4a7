"""The composition root: the only place that names concrete stores and platforms.

Each part is imported when it is first asked for, so that a worker does not pay for the watch nor the watch for OCR.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradewatch.app.platforms import make_platform, opened_platform
    from gradewatch.app.running import run, worker_children
    from gradewatch.app.stores import make_store, opened, opener
    from gradewatch.app.submit import submit_papers
    from gradewatch.app.watching import look, make_cycle, once, rights, watch
    from gradewatch.app.working import work

__all__ = [
    "look",
    "make_cycle",
    "make_platform",
    "make_store",
    "once",
    "opened",
    "opened_platform",
    "opener",
    "rights",
    "run",
    "submit_papers",
    "watch",
    "work",
    "worker_children",
]

# Modules are named other than what they hold: an import binds a submodule to its parent under its own name.
_HOMES = {
    "run": "running",
    "worker_children": "running",
    "make_platform": "platforms",
    "opened_platform": "platforms",
    "make_store": "stores",
    "opened": "stores",
    "opener": "stores",
    "submit_papers": "submit",
    "look": "watching",
    "make_cycle": "watching",
    "once": "watching",
    "rights": "watching",
    "watch": "watching",
    "work": "working",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
