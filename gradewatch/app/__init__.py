"""The composition root: the only place that names concrete stores and platforms.

Each part is imported when it is first asked for, so that a worker does not pay for the watch nor the watch for OCR.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradewatch.app.run import run, worker_children
    from gradewatch.app.stores import make_store, opened, opener
    from gradewatch.app.submit import submit_papers
    from gradewatch.app.watch import look, make_cycle, once, watch
    from gradewatch.app.work import work

__all__ = [
    "look",
    "make_cycle",
    "make_store",
    "once",
    "opened",
    "opener",
    "run",
    "submit_papers",
    "watch",
    "work",
    "worker_children",
]

_HOMES = {
    "run": "run",
    "worker_children": "run",
    "make_store": "stores",
    "opened": "stores",
    "opener": "stores",
    "submit_papers": "submit",
    "look": "watch",
    "make_cycle": "watch",
    "once": "watch",
    "watch": "watch",
    "work": "work",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import_module(f"{__name__}.{_HOMES[name]}")
    for public, home in _HOMES.items():
        # An import binds a submodule to its parent: without this, `watch` would be the module from the second time on.
        module = sys.modules.get(f"{__name__}.{home}")
        if module and hasattr(module, public):
            globals()[public] = getattr(module, public)
    return globals()[name]
