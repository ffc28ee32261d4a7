"""A real store with one method taken over, for faults that a healthy file does not show."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any


class Faulty:
    """Passes everything on to `store`, counting calls; a method named in `faults` raises that error instead, and one
    named in `hangs` never returns."""

    def __init__(self, store: Any, *, faults: dict[str, Exception] | None = None, hangs: tuple[str, ...] = ()) -> None:
        self._store, self.faults, self.hangs = store, faults or {}, hangs
        self.calls: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._store, name)
        if not callable(real):
            return real

        async def call(*args: Any, **named: Any) -> Any:
            self.calls[name] += 1
            if name in self.hangs:
                await asyncio.Event().wait()
            if name in self.faults:
                raise self.faults[name]
            return await real(*args, **named)

        return call
