"""Workers: their sessions, how their processes end, and what is believed of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from gradewatch.model.jobs import Claimed


class Verdict(StrEnum):
    """What is believed of one worker. Only DEAD is proved (DESIGN rule 4)."""

    ALIVE = "alive"
    STARVED = "starved"
    SUSPECT = "suspect"
    DEAD = "dead"
    UNKNOWN = "unknown"


RESCUE = "rescue:"  # before a queue's name: worked by a rescue worker, which does not count as one of the queue's own
CRASHED = "crashed:"  # how the end reason of a session begins whose worker raised


def rescued(queues: Iterable[str]) -> tuple[str, ...]:
    """What the session of a rescue worker says in place of these queues. No queue can be called so."""
    return tuple(f"{RESCUE}{queue}" for queue in queues)


def rescues(served: Iterable[str]) -> tuple[str, ...]:
    """The queues that are worked by way of rescue, among what a session or a target says it serves."""
    return tuple(queue.removeprefix(RESCUE) for queue in served if queue.startswith(RESCUE))


def queue_of(served: str) -> str:
    """The queue that is meant, by way of rescue or not."""
    return served.removeprefix(RESCUE)


@dataclass(frozen=True, slots=True)
class NewSession:
    """What a worker process says of itself when it opens its session."""

    name: str
    queues: tuple[str, ...]
    slots: int
    host: str
    pid: int
    version: str
    target: str = ""  # its place on the platform: supervised child's or pod's name
    incarnation: str = ""  # which life of that place: the child's spawn id, the pod's UID
    http: str = ""  # where it serves /livez, /readyz and /metrics


@dataclass(frozen=True, slots=True)
class Session:
    """A worker process as the store knows it. `beats` grows by one with every beat, so that a beat can be
    told from silence without comparing two machines' clocks. `loop_age` is how old the event loop's own pulse
    was, in seconds, when the independent thread wrote the beat."""

    id: str
    name: str
    queues: tuple[str, ...]
    slots: int
    busy: int
    host: str
    pid: int
    version: str
    target: str
    incarnation: str
    http: str
    started_at: datetime
    beat_at: datetime
    beats: int
    loop_age: float
    ended_at: datetime | None
    end_reason: str


@dataclass(frozen=True, slots=True)
class BeatReply:
    """What a beat tells the worker back: is the session still ours, and which claims are still held."""

    session_open: bool
    held: frozenset[Claimed]


class ExitKind(StrEnum):
    EXITED = "exited"  # by itself, with a code
    SIGNALLED = "signalled"  # killed by a signal
    OOM_KILLED = "oom_killed"
    CRASH_LOOP = "crash_loop"
    EVICTED = "evicted"
    GONE = "gone"  # the platform no longer knows it


@dataclass(frozen=True, slots=True)
class ExitCause:
    """How a worker's process ended. `status` is the exit code or the signal number."""

    kind: ExitKind
    status: int = 0
    detail: str = ""

    @property
    def clean(self) -> bool:
        return self.kind is ExitKind.EXITED and self.status == 0

    def __str__(self) -> str:
        words = {ExitKind.EXITED: f"exited with code {self.status}", ExitKind.SIGNALLED: f"killed by {self.detail}"}
        return words.get(self.kind) or self.detail or self.kind.value.replace("_", " ")


@dataclass(frozen=True, slots=True)
class Exit:
    seconds_ago: float
    lifetime: float
    cause: ExitCause


@dataclass(frozen=True, slots=True)
class Target:
    """One worker place on a platform (a supervised child, a pod): what can be restarted.

    `running_seconds` is the age of its present incarnation; `exits` are the recent ends, newest last,
    as (seconds ago, lifetime in seconds, cause).
    """

    name: str
    queues: tuple[str, ...]
    pid: int | None
    running: bool
    running_seconds: float
    wanted: bool = True  # False while it is being stopped on purpose
    last_exit: ExitCause | None = None
    exits: tuple[Exit, ...] = ()
    incarnation: str = ""  # which life of this place is running; a session carries the same word
    ended_incarnations: tuple[str, ...] = ()  # lives this platform saw end, newest last: proof of death


@dataclass(frozen=True, slots=True)
class WorkerReading:
    """A session with what this watch saw of it itself. `silent_seconds` is how long this watch has seen no new
    beat; `watched_seconds` how long it has watched that session without a gap."""

    session: Session
    silent_seconds: float
    watched_seconds: float
    store_silent_seconds: float  # the same by the store's clock; what a single-cycle watch has to go by
    seen_beating: bool = False  # this watch itself saw it beat: only such a worker can *go* silent


@dataclass(frozen=True, slots=True)
class WorkerVerdict:
    session: Session
    verdict: Verdict
    evidence: str
    target: str | None = None  # the platform target it runs as, where one matches
    silent_seconds: float = 0.0
    in_fleet: bool = False  # it was alive within the fleet gate's window
