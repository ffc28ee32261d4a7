"""Every pod that was seen, by its UID, with how its lives ended: what a copy of the API server's list forgets.

Times are this process's own: what a pod did is dated by when it was seen. A node's clock is believed only for how long
a life lasted, and for how old an end is that was over before this watch began; neither is proof of anything.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from gradewatch.model import Exit, ExitCause, ExitKind
from gradewatch.platforms.kubernetes.api import Json
from gradewatch.platforms.kubernetes.facts import PodFacts, read_pod

HISTORY = 20  # ends and lives remembered for each pod
KEPT = 600.0  # seconds a pod that is gone is remembered
MOST_GONE = 2000  # of them
UNDER_WAY = 90.0  # seconds after which a watch on which nothing comes is begun anew
STOPPED = "the pod as a whole"


@dataclass
class PodLife:
    """One pod: what was last read of it, and since when."""

    facts: PodFacts
    seen: float  # monotonic, when it was first seen
    since: float  # monotonic, when its present container was first seen running, or not running
    ends: deque[tuple[float, float, ExitCause]] = field(default_factory=lambda: deque(maxlen=HISTORY))
    lives: deque[str] = field(default_factory=lambda: deque(maxlen=HISTORY))
    keys: deque[str] = field(default_factory=lambda: deque(maxlen=HISTORY))
    gone: float | None = None
    older: float = float("inf")  # seconds the pod was old when it was first seen, by the API server's clock alone
    live: bool = False  # its present container was seen to begin, on a watch that was going on

    @property
    def may_be_older(self) -> float:
        """Seconds by which its container may have begun before `since`: up to the pod's own beginning, where this watch
        looked elsewhere; else as long as an event can be under way."""
        return UNDER_WAY if self.live else self.older + self.since - self.seen

    @property
    def last_exit(self) -> ExitCause | None:
        return self.ends[-1][2] if self.ends else None

    def exits(self, now: float) -> tuple[Exit, ...]:
        return tuple(Exit(max(0.0, now - at), lifetime, cause) for at, lifetime, cause in self.ends)

    @property
    def ended_incarnations(self) -> tuple[str, ...]:
        """Lives that are over for good: single ones of a pod that goes on, and the pod itself once it does not."""
        over = self.gone is not None or self.facts.over
        return (*self.lives, self.facts.uid) if over else tuple(self.lives)


class Roster:
    """A reflector's sink. `wall` gives the API server's clock, in seconds since 1970, or None. `single`: nobody will
    look twice, so ages at first sight are taken from the clocks of others."""

    def __init__(
        self,
        container: str,
        *,
        wake: Callable[[], None],
        wall: Callable[[], float | None],
        single: bool = False,
        mono: Callable[[], float] = time.monotonic,
    ) -> None:
        self._container, self._wake, self._wall, self._single, self._mono = container, wake, wall, single, mono
        self._pods: dict[str, PodLife] = {}
        self._gone: OrderedDict[str, PodLife] = OrderedDict()
        self.missing: dict[str, PodLife] = {}
        self.looked_for = asyncio.Event()

    def __iter__(self) -> Iterator[PodLife]:
        """Those that are there, then those that went."""
        self._forget()
        yield from self._pods.values()
        yield from self._gone.values()

    def named(self, name: str) -> PodLife | None:
        """The pod that has this name now, else the last one that had it."""
        there = [pod for pod in self._pods.values() if pod.facts.name == name]
        return there[0] if there else next((p for p in reversed(self._gone.values()) if p.facts.name == name), None)

    def by_uid(self, uid: str) -> PodLife | None:
        return self._pods.get(uid) or self._gone.get(uid)

    def clear(self) -> None:
        self.replace([])

    # ---------------------------------------------------------------- Sink

    def reduce(self, raw: Json) -> PodFacts:
        return read_pod(raw, self._container)

    def replace(self, objects: list[PodFacts]) -> None:
        there = {facts.uid: facts for facts in objects}
        for uid in [uid for uid in self._pods if uid not in there]:
            self._leave(uid)
        for facts in objects:
            self._see(facts, listed=True)
        self._wake()

    def put(self, raw: Json) -> None:
        if self._see(self.reduce(raw), listed=False):
            self._wake()

    def drop(self, raw: Json) -> None:
        facts = self.reduce(raw)
        if facts.uid in self._pods:
            self._see(facts, listed=False)
            self._leave(facts.uid)
            self._wake()

    # ---------------------------------------------------------------- inside

    def _see(self, facts: PodFacts, *, listed: bool) -> bool:
        """Take in what was read of a pod; True when it matters to anybody."""
        now, pod = self._mono(), self._pods.get(facts.uid)
        if pod is None:
            if facts.uid in self._gone:
                return False  # a late event of one that went
            if facts.uid in self.missing:
                pod = self._pods[facts.uid] = self.missing.pop(facts.uid)  # its label is back
        if pod is None:
            age = self._age(facts) if self._single else 0.0
            pod = self._pods[facts.uid] = PodLife(facts, seen=now, since=now - age, older=self._pods_age(facts))
            self._note_ends(pod, facts, now, before_us=listed)
            return True
        was, pod.facts = pod.facts, facts
        if (was.running, was.container_id) != (facts.running, facts.container_id):
            pod.since, pod.live = now, not listed
        ended = self._note_ends(pod, facts, now, before_us=False)
        return ended or _matters(was) != _matters(facts)

    def _note_ends(self, pod: PodLife, facts: PodFacts, now: float, *, before_us: bool) -> bool:
        news = False
        for ending in facts.ended:
            if ending.key in pod.keys:
                self._worsen(pod, ending.cause)
                continue
            at, wall = now, self._wall()
            if before_us and wall is not None and ending.finished is not None:
                at = now - max(0.0, wall - ending.finished)
            pod.keys.append(ending.key)
            pod.ends.append((at, ending.lifetime, ending.cause))
            if ending.life:
                pod.lives.append(ending.life)
            news = True
        if facts.over and facts.stopped and STOPPED not in pod.keys:
            pod.keys.append(STOPPED)
            pod.ends.append((now, now - pod.since, facts.stopped))
            news = True
        return news

    @staticmethod
    def _worsen(pod: PodLife, cause: ExitCause) -> None:
        """The same end, told again once the kubelet backs off from starting it."""
        at, lifetime, was = pod.ends[-1]
        if cause.kind is ExitKind.CRASH_LOOP and was.kind is not ExitKind.OOM_KILLED:
            pod.ends[-1] = (at, lifetime, cause)

    def _leave(self, uid: str) -> None:
        """It is no longer told of. One that was to be deleted, or had ended, is gone; another may only have lost the
        label it was selected by, and works on: somebody has to look."""
        pod = self._pods.pop(uid)
        if pod.facts.deleting or pod.facts.over:
            self._end(uid, pod)
        else:
            self.missing[uid] = pod
            self.looked_for.set()

    def found(self, uid: str, *, there: bool) -> None:
        """What came of looking for a missing pod: it is there, and no business of ours any more, or it is gone."""
        pod = self.missing.pop(uid, None)
        if pod is not None and not there:
            self._end(uid, pod)
            self._wake()

    def _end(self, uid: str, pod: PodLife) -> None:
        now = self._mono()
        pod.gone = now
        facts = pod.facts
        if (facts.running or not pod.ends or facts.stopped) and STOPPED not in pod.keys:
            cause = facts.stopped or ExitCause(ExitKind.GONE, detail="its pod was deleted")
            pod.ends.append((now, now - pod.since if facts.running else 0.0, cause))
        self._gone[uid] = pod
        while len(self._gone) > MOST_GONE:
            self._gone.popitem(last=False)

    def _forget(self) -> None:
        while self._gone and self._mono() - (next(iter(self._gone.values())).gone or 0.0) > KEPT:
            self._gone.popitem(last=False)

    def _pods_age(self, facts: PodFacts) -> float:
        wall = self._wall()
        return float("inf") if wall is None or facts.created is None else max(0.0, wall - facts.created)

    def _age(self, facts: PodFacts) -> float:
        """Seconds the container has run by the clocks of others: never more than the pod is old by the API server's."""
        wall = self._wall()
        if wall is None or facts.created is None:
            return 0.0
        return max(0.0, min(wall - facts.created, wall - (facts.started or facts.created)))


def _matters(facts: PodFacts) -> tuple[object, ...]:
    return (facts.running, facts.container_id, facts.phase, facts.deleting, facts.waiting, facts.problem != "")
