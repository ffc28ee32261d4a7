"""How long each worker has been silent, as this watch has seen it: by its own monotonic clock, from beats that it saw
change, so that no step of any wall clock and no outage can make a worker look dead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from gradewatch.model import Session, WorkerReading


@dataclass
class _Seen:
    beats: int
    silent: float
    watched: float
    beating: bool


class BeatWatch:
    """Remembers each open session's beats from cycle to cycle. Bounded by the sessions the store returns."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}
        self._mono: float | None = None

    def observe(
        self, sessions: Sequence[Session], now: datetime, mono: float, *, contiguous: bool
    ) -> tuple[WorkerReading, ...]:
        """`now` by the store's clock. Where this watch has not seen all the time since its last look, nobody's silence
        in that time counts."""
        before = self._mono if contiguous else None
        elapsed = 0.0 if before is None else mono - before
        fresh: dict[str, _Seen] = {}
        readings = []
        for session in sessions:
            store_silent = (now - session.beat_at).total_seconds()
            seen = self._next(self._seen.get(session.id), session, store_silent, elapsed, before is not None)
            fresh[session.id] = seen
            readings.append(WorkerReading(session, seen.silent, seen.watched, store_silent, seen.beating))
        self._seen, self._mono = fresh, mono
        return tuple(readings)

    def miss(self) -> None:
        """The sessions could not be read: the time until the next look will not have been seen."""
        self._mono = None

    @staticmethod
    def _next(old: _Seen | None, session: Session, store_silent: float, elapsed: float, contiguous: bool) -> _Seen:
        if old is None:
            # A session opened since our last look is as old as the store says, within that look's distance.
            born = max(0.0, min(store_silent, elapsed))
            return _Seen(session.beats, born, born, beating=store_silent <= elapsed)
        if not contiguous:
            return _Seen(session.beats, 0.0, 0.0, old.beating)
        if session.beats != old.beats:
            # The beat came after our last look: the store's age of it is credible within that distance.
            return _Seen(session.beats, max(0.0, min(store_silent, elapsed)), old.watched + elapsed, beating=True)
        return _Seen(session.beats, old.silent + elapsed, old.watched + elapsed, old.beating)
