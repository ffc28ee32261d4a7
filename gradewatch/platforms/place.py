"""One named place for a worker: the child in it now, and how the earlier ones ended."""

from __future__ import annotations

import asyncio
import time
from collections import deque

from gradewatch.model import Exit, ExitCause, Target
from gradewatch.platforms.child import Child

HISTORY = 20  # ends remembered for each place


class Place:
    """Changes of a place (start, restart, stop) hold `lock`, one after the other; an end is recorded at any time."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lock = asyncio.Lock()
        self.child: Child | None = None
        self.incarnation = ""  # of the child, or of the last one there was
        self.wanted = True
        self._ends: deque[tuple[float, float, ExitCause]] = deque(maxlen=HISTORY)  # monotonic time, lifetime, cause
        self._ended: deque[str] = deque(maxlen=HISTORY)  # incarnations

    @property
    def last_exit(self) -> ExitCause | None:
        return self._ends[-1][2] if self._ends else None

    def began(self, child: Child) -> None:
        self.child = child
        self.incarnation = child.identity.incarnation

    def ended(self, child: Child, cause: ExitCause) -> float:
        """Record the end of this place's child; returns its lifetime in seconds."""
        now = time.monotonic()
        self.child = None
        self._ends.append((now, now - child.started, cause))
        self._ended.append(child.identity.incarnation)
        return now - child.started

    def not_started(self, cause: ExitCause) -> None:
        """A failed start counts as an end after no life at all: a crash loop of starts must show as one."""
        self._ends.append((time.monotonic(), 0.0, cause))

    def target(self, queues: tuple[str, ...]) -> Target:
        now = time.monotonic()
        child = self.child
        return Target(
            name=self.name,
            queues=queues,
            pid=child.pid if child else None,
            running=child is not None,
            running_seconds=now - child.started if child else 0.0,
            wanted=self.wanted,
            last_exit=self.last_exit,
            exits=tuple(Exit(now - at, lifetime, cause) for at, lifetime, cause in self._ends),
            incarnation=self.incarnation,
            ended_incarnations=tuple(self._ended),
        )
