"""How a fake provider may behave, and what it counts."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

MODES = (
    "ok", "hang", "reset", "401", "403", "429", "402", "500", "503", "html", "truncated", "malformed", "empty",
)  # fmt: skip


@dataclass
class Behaviour:
    """`mode` rules paid calls, `check_mode` free ones (None: the same); `seconds` is how long a good answer takes, for
    each page or paper; beyond `most` calls in flight it says 429."""

    mode: str = "ok"
    check_mode: str | None = None
    seconds: float = 0.0
    most: int | None = None
    retry_after: str | None = None
    calls: int = 0
    checks: int = 0
    answered: int = 0
    refused: int = 0
    cancelled: int = 0
    in_flight: int = 0
    peak: int = 0
    by_content: Counter[Any] = field(default_factory=Counter)
    seen: list[Any] = field(default_factory=list)
    down_after: int | None = None  # so many good answers, and it is down, until somebody sets the mode
    down_checks: str | None = None  # what free checks meet then (None: the same)
    went_down: asyncio.Event = field(default_factory=asyncio.Event)

    def enter(self, content: Any) -> str:
        """A paid call begins; the mode it meets."""
        self.calls += 1
        self.by_content[content] += 1
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        if self.down_after is not None and self.answered >= self.down_after:
            self.down_after, self.mode, self.check_mode = None, "503", self.down_checks
            self.went_down.set()
        if self.most is not None and self.in_flight > self.most:
            self.refused += 1
            return "429"
        return self.mode

    def leave(self) -> None:
        self.in_flight -= 1

    def check(self) -> str:
        self.checks += 1
        return self.mode if self.check_mode is None else self.check_mode
