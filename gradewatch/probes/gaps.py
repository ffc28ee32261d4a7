"""Queues that could not be read while the store itself answered: somebody locks the table, or it is too slow to read.

For the jobs of such a queue that is an outage like any other: nobody could claim them, and nobody beat.
"""

from __future__ import annotations

from datetime import datetime

from gradewatch.model import Credit, QueueFacts, Reading, StoreFacts, Unknown


class QueueGaps:
    """Remembers, by the store's time, when each queue was last read. Bounded by the queues of the settings."""

    def __init__(self) -> None:
        self._read: dict[str, datetime] = {}
        self._since: dict[str, datetime] = {}

    def see(self, name: str, store: Reading[StoreFacts], queue: Reading[QueueFacts]) -> Credit | None:
        """What is to be credited, where this look ends a gap. An outage of all the store is not ours to credit."""
        if isinstance(store, Unknown):
            return None
        now = store.value.now
        if isinstance(queue, Unknown):
            if queue.code is not None:  # the store's own refusal, not a fault of the probe or a stepped clock
                self._since.setdefault(name, self._read.get(name, now))
            return None
        self._read[name] = now
        since = self._since.pop(name, now)
        return Credit("outage", since, now) if since < now else None
