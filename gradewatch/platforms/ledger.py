"""What a platform that is only looked at from time to time remembers of its places: which lives ended, and how."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from gradewatch.model import Exit, ExitCause, ExitKind, Sight, Target

HISTORY = 20  # ends remembered for each place
BETWEEN = ExitCause(ExitKind.GONE, detail="ended between two looks of the watch, and was started again by its platform")


@dataclass(frozen=True, slots=True)
class Sighting:
    """One look at a place. `life` tells one life from the next; `incarnation` is the word a restart is guarded by.
    `ended` is set where that life is over. `restarts`: how often the platform has started it again by itself, where it
    counts."""

    name: str
    life: str
    incarnation: str
    running: bool
    running_seconds: float = 0.0
    pid: int | None = None
    wanted: bool = True
    ended: Exit | None = None
    restarts: int | None = None
    problem: str = ""
    no_restart: str = ""


@dataclass(slots=True)
class _Past:
    life: str
    seen: float  # monotonic time of the last look
    lived: float  # seconds, as of that look
    over: bool
    restarts: int | None


class Ledger:
    """Makes targets of sightings. Its memory is bounded; losing it costs evidence of the past, nothing else."""

    def __init__(self, queues: tuple[str, ...], *, mono: Callable[[], float] = time.monotonic) -> None:
        self._queues, self._mono = queues, mono
        self._past: dict[str, _Past] = {}
        self._ends: dict[str, deque[tuple[float, float, ExitCause]]] = {}  # monotonic time, lifetime, cause
        self._ended: dict[str, deque[str]] = {}  # incarnations

    def target(self, seen: Sighting, sight: Sight) -> Target:
        now = self._mono()
        ends = self._ends.setdefault(seen.name, deque(maxlen=HISTORY))
        ended = self._ended.setdefault(seen.name, deque(maxlen=HISTORY))
        self._compare(seen, now, ends, ended)
        return Target(
            name=seen.name,
            queues=self._queues,
            pid=seen.pid,
            running=seen.running,
            running_seconds=seen.running_seconds,
            wanted=seen.wanted,
            last_exit=ends[-1][2] if ends else None,
            exits=tuple(Exit(now - at, lifetime, cause) for at, lifetime, cause in ends),
            incarnation=seen.incarnation,
            ended_incarnations=tuple(ended) if sight is Sight.LIFE else (),
            sight=sight,
            problem=seen.problem,
            no_restart=seen.no_restart,
        )

    def _compare(
        self, seen: Sighting, now: float, ends: deque[tuple[float, float, ExitCause]], ended: deque[str]
    ) -> None:
        """Write down what ended since the last look."""
        past = self._past.get(seen.name)
        if past and past.life != seen.life and not past.over:
            ends.append(((past.seen + now) / 2, past.lived, BETWEEN))
            ended.append(past.life)
        for _ in range(_missed(past, seen)):
            ends.append((now, (now - past.seen) if past else 0.0, BETWEEN))
        if seen.ended and not (past and past.life == seen.life and past.over):
            ends.append((now - seen.ended.seconds_ago, seen.ended.lifetime, seen.ended.cause))
            ended.append(seen.life)
        elif seen.ended and ends and ends[-1][2] != seen.ended.cause:
            ends[-1] = (*ends[-1][:2], seen.ended.cause)  # more is known now: its platform has given it up
        self._past[seen.name] = _Past(seen.life, now, seen.running_seconds, seen.ended is not None, seen.restarts)


def _missed(past: _Past | None, seen: Sighting) -> int:
    """Lives that began and ended between two looks, by the platform's own count of restarts."""
    if past is None or past.restarts is None or seen.restarts is None or seen.restarts <= past.restarts:
        return 0
    return min(HISTORY, seen.restarts - past.restarts - (1 if past.life != seen.life else 0))
