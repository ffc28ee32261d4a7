"""A place into which its platform cannot look: what is known of it is when this watch last restarted it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from gradewatch.model import Sight, Target


@dataclass(frozen=True, slots=True)
class Seen:
    """`seconds`: how long it has run, or has not, as far as this watch knows; `lived`: how long it ran before."""

    life: str
    seconds: float
    lived: float


class Unseen:
    """Its incarnation is this watch's own name for the time since then: it guards a restart, and no session has it."""

    def __init__(
        self, name: str, queues: tuple[str, ...], *, age: float = 0.0, mono: Callable[[], float] = time.monotonic
    ) -> None:
        """`age`: seconds that it is believed to have run already. A watch that stays believes nothing; one of a single
        cycle cannot wait to see."""
        self._name, self._queues, self._mono = name, queues, mono
        self._since, self._lived, self._lives = mono() - age, 0.0, 0
        self._state: tuple[bool, str] | None = None
        self.incarnation = self._new()

    def _new(self) -> str:
        return f"{self._name}.{secrets.token_hex(6)}"

    def restarted(self) -> str:
        """It was restarted just now; returns the new incarnation."""
        self._since, self.incarnation = self._mono(), self._new()
        return self.incarnation

    def look(self, running: bool, incarnation: str = "") -> Seen:
        """What a look that told only so much adds to what was known."""
        now = self._mono()
        before, self._state = self._state, (running, incarnation)
        if before is None and running:
            self._lives = 1
        elif before != self._state:
            if running or before is None or incarnation != before[1]:
                self._lives += 1
            self._lived = now - self._since if before and before[0] else 0.0
            self._since = now
        return Seen(incarnation or f"{self._name}#{self._lives}", now - self._since, self._lived)

    def target(self) -> Target:
        return Target(
            self._name,
            self._queues,
            pid=None,
            running=True,
            running_seconds=self._mono() - self._since,
            incarnation=self.incarnation,
            sight=Sight.NONE,
        )
