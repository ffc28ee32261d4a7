"""All probes of one cycle, into one immutable snapshot. Gets a reader only: nothing here can write."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from gradewatch.config import Settings
from gradewatch.errors import StoreError
from gradewatch.model import (
    ControlFacts,
    CredentialFacts,
    Credit,
    Known,
    QueueFacts,
    Reading,
    Snapshot,
    StoreFacts,
    Target,
    Unknown,
    WorkerReading,
    WorkerVerdict,
)
from gradewatch.ports import Clock, Control, ForeignReader, JobReader, TroubleReader, WorkerControl
from gradewatch.probes.continuity import Continuity, stepped_between
from gradewatch.probes.gaps import QueueGaps
from gradewatch.probes.providers import ProviderProbe
from gradewatch.probes.queue import QueueProbe
from gradewatch.probes.reading import take
from gradewatch.probes.workers import BeatWatch
from gradewatch.verdicts import absent, judge

T = TypeVar("T")


@dataclass(frozen=True)
class Observation:
    """A snapshot and the verdicts on its workers, what the store's gap before it is to be credited with, and how long
    each probe took in seconds."""

    snapshot: Snapshot
    verdicts: tuple[WorkerVerdict, ...]
    credits: tuple[Credit, ...]
    seconds: Mapping[str, float]


class Observer:
    """Takes snapshots. Its memory between them is of beats, arrivals and gaps; losing it costs one observing cycle."""

    def __init__(
        self,
        reader: JobReader,
        control: Control,
        platform: WorkerControl,
        environ: Mapping[str, str],
        settings: Settings,
        clock: Clock,
        *,
        single: bool = False,
        troubles: TroubleReader | None = None,
        check_providers: bool = True,
        foreign: ForeignReader | None = None,
    ) -> None:
        self._reader, self._control, self._platform = reader, control, platform
        self._settings, self._clock, self._single = settings, clock, single
        self._providers, self._troubles = (
            ProviderProbe(environ, settings, single=single, checks=check_providers),
            troubles,
        )
        self._continuity = Continuity(patience=3 * settings.watch.interval + settings.store.timeout)
        self._gaps = QueueGaps()
        self._beats = BeatWatch()
        self._queues = {name: QueueProbe(queue, foreign=foreign) for name, queue in settings.queues.items()}
        self._windows = {kind: budget.window for kind, budget in settings.remediation.budget.items()}
        self._seconds: dict[str, float] = {}

    async def observe(self, refused: StoreError | None = None, owed: Sequence[Credit] = ()) -> Observation:
        """`refused`: how the store answered a write just now. One that only reads is away, for workers cannot beat.
        `owed`: credits of earlier looks that the store has not been told yet; they count all the same."""
        self._seconds = {}
        store = await self._take("store", lambda: self._check(refused))
        went_on = self._continuity.see(store)
        snapshot = Snapshot(
            mono=self._clock.mono(),
            store=store,
            workers=await self._workers(store, went_on.contiguous),
            queues={},
            platform=await self._take("platform", self._targets),
            environment=await self._take("environment", lambda: self._credentials(store)),
            control=await self._after(store, "control", lambda: self._facts((*owed, *went_on.credits))),
            observe_only=went_on.observe_only and not (self._single and isinstance(store, Known)),
            single=self._single,
            clock_step=went_on.clock_step,
        )
        await asyncio.sleep(0)  # a thousand workers take milliseconds to judge
        verdicts = judge(snapshot, self._settings)
        await asyncio.sleep(0)
        queues, credits = self._mind_gaps(store, await self._read_queues(store, absent(verdicts)))
        credits = (*went_on.credits, *credits)
        return Observation(replace(snapshot, queues=queues), verdicts, credits, dict(self._seconds))

    async def _check(self, refused: StoreError | None) -> StoreFacts:
        if refused is not None:
            raise refused
        return await self._reader.check(list(self._queues))

    async def _workers(self, store: Reading[StoreFacts], contiguous: bool) -> Reading[tuple[WorkerReading, ...]]:
        sessions = await self._after(store, "workers", self._reader.sessions)
        if isinstance(store, Unknown):
            return store
        if isinstance(sessions, Unknown):
            self._beats.miss()
            return sessions
        readings = self._beats.observe(sessions.value, store.value.now, sessions.mono, contiguous=contiguous)
        return Known(readings, sessions.mono)

    async def _read_queues(self, store: Reading[StoreFacts], gone: frozenset[str]) -> Mapping[str, Reading[QueueFacts]]:
        """One after another. When the store goes away in between, the rest do not wait out a deadline each."""
        queues: dict[str, Reading[QueueFacts]] = {}
        asked: Reading[Any] = store
        for name, probe in self._queues.items():
            queues[name] = reading = await self._after(asked, "queue", partial(self._read_queue, probe, gone))
            if stepped_between(store, reading):
                queues[name] = Unknown("the store's clock was stepped while this cycle looked", reading.mono)
            if isinstance(queues[name], Unknown):
                asked = queues[name]
        return queues

    def _mind_gaps(
        self, store: Reading[StoreFacts], queues: Mapping[str, Reading[QueueFacts]]
    ) -> tuple[Mapping[str, Reading[QueueFacts]], tuple[Credit, ...]]:
        """A queue that can be read again is not acted on yet: its credit is not among this look's facts."""
        found, credits = dict(queues), list[Credit]()
        for name, reading in queues.items():
            if credit := self._gaps.see(name, store, reading):
                credits.append(credit)
                found[name] = Unknown("could not be read until now: looked at once more before anything", reading.mono)
            elif isinstance(reading, Unknown) and self._settings.queues[name].foreign is None:
                self._beats.miss()  # where our own jobs cannot be read, no worker can beat
        return found, tuple(dict.fromkeys(credits))

    async def _read_queue(self, probe: QueueProbe, gone: frozenset[str]) -> QueueFacts:
        return await probe.read(self._reader, gone, self._clock.mono())

    async def _facts(self, credits: tuple[Credit, ...]) -> ControlFacts:
        """What the store remembers, and the credits it is about to be told."""
        facts = await self._control.control(self._windows)
        return replace(facts, credits=(*facts.credits, *credits))

    async def _targets(self) -> tuple[Target, ...]:
        return tuple(await self._platform.targets())

    async def _credentials(self, store: Reading[StoreFacts]) -> tuple[CredentialFacts, ...]:
        """What can be found out from here, and, while the store answers, what workers have told it."""
        told = await self._troubles.troubles() if self._troubles and isinstance(store, Known) else []
        return await self._providers.read(told)

    async def _after(self, store: Reading[Any], probe: str, call: Callable[[], Awaitable[T]]) -> Reading[T]:
        """Where the store itself did not answer, its other probes are not sent after it to wait out their deadlines."""
        if isinstance(store, Unknown):
            self._seconds.setdefault(probe, 0.0)
            return Unknown(store.reason, store.mono, store.code, store.fix)
        return await self._take(probe, call)

    async def _take(self, probe: str, call: Callable[[], Awaitable[T]]) -> Reading[T]:
        began = time.perf_counter()
        reading = await take(probe, call, self._clock, self._settings.store.timeout)
        self._seconds[probe] = self._seconds.get(probe, 0.0) + time.perf_counter() - began
        return reading
