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


class Source(StrEnum):
    """What tells of a worker: its own beats; what it writes on the job it runs; or nothing at all (a job of another
    application that has no heartbeat)."""

    BEATS = "beats"
    JOB = "job"
    NOTHING = "nothing"


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
    source: Source = Source.BEATS


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


class Sight(StrEnum):
    """How much a platform sees of a place, and so how a session is found to belong to the life that is there now."""

    LIFE = "life"  # each life has a name of its own, and its session carries it
    PROCESS = "process"  # it sees the process and its age; sessions carry only the place's name
    NONE = "none"  # it cannot tell whether anything runs there: what the place's sessions do is all the evidence


@dataclass(frozen=True, slots=True)
class Target:
    """One worker place on a platform (a supervised child, a pod): what can be restarted.

    `running_seconds` is the age of its present incarnation; `exits` are the recent ends, newest last,
    as (seconds ago, lifetime in seconds, cause). Where somebody puts another in the place of one that went (a
    Deployment), `group` names who: restarts of its members count together, because the next one has another name.
    `whole` is a target that stands for such a group itself. With Sight.NONE, `running` says only that
    nothing speaks against it, and `running_seconds` how long this watch has seen no restart of it.
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
    sight: Sight = Sight.LIFE
    group: str = ""
    whole: bool = False
    problem: str = ""  # what keeps it from working, as the platform says, such as an image that cannot be pulled
    fix: str = ""  # what to do about it, in words
    no_restart: str = ""  # why restarting it is no cure, or not allowed now
    memory_limit: int = 0  # bytes; 0: none known
    may_be_older: float = 0.0  # seconds; where `running_seconds` counts from when a life was first seen

    @property
    def subject(self) -> str:
        """Its name in actions and in the audit trail."""
        return f"{self.group}/{self.name}" if self.group and not self.whole else self.name


def life_of(incarnation: str) -> str:
    """The platform's part of an incarnation "UID/life": a process within a pod adds which life of that pod it is."""
    return incarnation.partition("/")[0]


def group_of(subject: str) -> str:
    """The group of a target's subject "group/name"; a target without one is its own."""
    return subject.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Right:
    """Something the platform may allow or refuse us. `why` says what it is needed for, `fix` how it is given."""

    verb: str
    resource: str  # with its subresource and group, such as "pods/eviction" or "deployments.apps"
    scope: str  # the namespace, and the name where the right is for one object
    allowed: bool
    why: str
    fix: str = ""


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
