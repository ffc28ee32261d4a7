"""Has this watch seen the store without a gap? What it missed is credited, and the first cycle after it only observes.

Three kinds of gap: the store did not answer (an outage), the store's clock was stepped, or this watch itself stood
still (a stopped process, a suspended machine). Pure bookkeeping over readings: writing the credit is remediation's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from gradewatch.model import Credit, Known, QueueFacts, Reading, StoreFacts, Unknown

STEP = 5.0  # seconds the two clocks may drift apart between cycles before it counts as a step


@dataclass(frozen=True)
class Continuation:
    """What the latest reading means: may this cycle act, what is to be credited, how far did the clock jump."""

    observe_only: bool
    contiguous: bool
    credits: tuple[Credit, ...] = ()
    clock_step: float = 0.0


class Continuity:
    """`patience`: seconds between two good readings beyond which this watch itself must have stood still."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._last: tuple[datetime, float] | None = None  # (store's time, monotonic) of the last good reading
        self._failed_at: float | None = None  # monotonic time of the first failure since

    def see(self, reading: Reading[StoreFacts]) -> Continuation:
        if isinstance(reading, Unknown):
            if self._failed_at is None:
                self._failed_at = reading.mono
            return Continuation(observe_only=True, contiguous=False)
        continuation = self._succeed(reading)
        self._last, self._failed_at = (reading.value.now, reading.mono), None
        return continuation

    def _succeed(self, reading: Known[StoreFacts]) -> Continuation:
        now, mono = reading.value.now, reading.mono
        if self._failed_at is not None:
            start = self._last[0] if self._last else now - timedelta(seconds=mono - self._failed_at)
            credit = (Credit("outage", start, now),) if start < now else ()
            return Continuation(observe_only=True, contiguous=False, credits=credit)
        if self._last is None:
            return Continuation(observe_only=True, contiguous=False)
        then, before = self._last
        step = (now - then).total_seconds() - (mono - before)
        contiguous = mono - before <= self._patience
        if abs(step) > STEP:
            jumped = (Credit("clock", now - timedelta(seconds=step), now),) if step > 0 else ()
            return Continuation(observe_only=True, contiguous=contiguous, credits=jumped, clock_step=step)
        return Continuation(observe_only=not contiguous, contiguous=contiguous)


def stepped_between(store: Reading[StoreFacts], queue: Reading[QueueFacts]) -> bool:
    """Was the store's clock stepped between these two readings of one cycle? Then ages in the second are not what the
    first stands for, and the next cycle sees the step."""
    if isinstance(store, Unknown) or isinstance(queue, Unknown):
        return False
    apart = (queue.value.stats.now - store.value.now).total_seconds()
    return abs(apart - (queue.mono - store.mono)) > STEP
