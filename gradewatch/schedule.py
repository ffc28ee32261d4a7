"""PURE. When the next cycle is due before its regular time: a beat about to be missed, a timeout about to pass, a
restart about to be judged. Waking is only ever about latency."""

from __future__ import annotations

from collections.abc import Iterator

from gradewatch.config import RemediationSettings, Settings
from gradewatch.history import cooldown_left, credited_age, in_flight, seconds_since
from gradewatch.model import ControlFacts, Known, QueueFacts, Snapshot, Target
from gradewatch.verdicts import HeartbeatTimeouts

MARGIN = 0.02  # seconds past the due time, so that the comparison there is already true


def next_wake(snapshot: Snapshot, settings: Settings) -> float | None:
    """Seconds until something becomes due, or None when nothing is near."""
    due = [seconds for seconds in _due(snapshot, settings) if seconds > 0]
    return min(due) + MARGIN if due else None


def _due(snapshot: Snapshot, settings: Settings) -> Iterator[float]:
    yield from _silences(snapshot, settings)
    if not isinstance(snapshot.control, Known):
        return
    control = snapshot.control.value
    for name, reading in snapshot.queues.items():
        # While repairs are paused the time is credited: nothing comes due, however long one waits for it.
        if isinstance(reading, Known) and not control.pause:
            yield from _timeouts(name, reading.value, control, settings)
    if isinstance(snapshot.platform, Known):
        for target in snapshot.platform.value:
            yield from _restart(target, control, settings.remediation)


def _silences(snapshot: Snapshot, settings: Settings) -> Iterator[float]:
    if isinstance(snapshot.workers, Known):
        timeouts = HeartbeatTimeouts(settings)
        for worker in snapshot.workers.value:
            if worker.session.ended_at is None:
                timeout = timeouts[worker.session]
                yield timeout - worker.silent_seconds
                yield 2 * timeout - worker.silent_seconds


def _restart(target: Target, control: ControlFacts, limits: RemediationSettings) -> Iterator[float]:
    flying = in_flight(target.subject, control)
    if flying:
        yield limits.verify - seconds_since(flying, control)
    if not target.running and not target.no_restart:
        yield cooldown_left(target.subject, control, limits.cooldown, limits.cooldown_max)


def _timeouts(name: str, facts: QueueFacts, control: ControlFacts, settings: Settings) -> Iterator[float]:
    limits, stats = settings.queues[name].timeouts, facts.stats
    if facts.unclaimed_since:
        yield limits.schedule_to_start - credited_age(facts.unclaimed_since, stats.now, control.credits)
    if stats.oldest_running_at:
        yield limits.start_to_close - credited_age(stats.oldest_running_at, stats.now, control.credits)
