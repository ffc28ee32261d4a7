"""Never two acting watches: two and three candidates for one Lease, each behind a wire of its own that delays, loses
and refuses, over hours of looptime's clock. The API server's part is the stand-in's; only the sockets are left out."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import looptime
import pytest
from apiserver.faults import Faults
from apiserver.resources import Resources
from apiserver.state import Refusal, State

from gradewatch.platforms.kubernetes.faults import ApiError
from gradewatch.platforms.kubernetes.lease import KubernetesLeases
from gradewatch.remediation.lease import ActingLease

TTL = 15.0
HOURS = 0.5
NAME = "gradewatch-watch"


@dataclass
class Wire:
    """What lies between a candidate and the server. `calm` ends the faults."""

    resources: Resources
    rng: random.Random
    timeout: float = 5.0
    calm: bool = False
    cut: bool = False  # partitioned: nothing gets through either way

    async def get(self, path: str, params: Any = None) -> dict[str, Any]:
        return await self.request("GET", path)

    async def request(self, method: str, path: str, *, body: Any = None, **_: Any) -> dict[str, Any]:
        try:
            async with asyncio.timeout(self.timeout):
                return await self._carry(method, path, body)
        except TimeoutError as error:
            raise ApiError("no answer") from error

    async def _carry(self, method: str, path: str, body: Any) -> dict[str, Any]:
        await self._on_its_way()
        if not self.calm and self.rng.random() < 0.05:
            raise ApiError("made up", self.rng.choice([409, 429, 500, 503]))
        verb = {"GET": "get", "POST": "create", "PUT": "update"}[method]
        name = NAME if path.endswith(NAME) else ""
        try:
            answer, _ = self.resources.act(verb, "leases", "default", name, "", body or {}, MappingProxyType({}))
        except Refusal as refusal:
            raise ApiError(refusal.message, refusal.code, refusal.reason) from refusal
        await self._on_its_way()  # done: the answer may be slow, or never come
        return answer

    async def _on_its_way(self) -> None:
        if self.calm:
            return
        if self.cut or self.rng.random() < 0.03:
            await asyncio.sleep(1e9)
        await asyncio.sleep(self.rng.choice([0.0, 0.001, 0.01, 0.2, 2.0, 4.0]) * self.rng.random())


class Clock:
    """A watch's monotonic clock, which may go wrong by one in a hundred; its wall clock is far off, and unused."""

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def mono(self) -> float:
        return 5.0 + self.rate * asyncio.get_running_loop().time()

    def wall(self) -> datetime:
        return datetime(1999, 1, 1, tzinfo=UTC)


class Candidate:
    def __init__(self, number: int, state: State, rng: random.Random) -> None:
        self.name, self.rng, self.lives = f"watch-{number}", rng, 0
        self.wire = Wire(Resources(state, Faults()), rng)
        self.clock = Clock(rng.uniform(0.99, 1.01))
        self.acted = 0.0
        self.begin()

    def begin(self) -> None:
        """A new process: it remembers nothing."""
        self.lives += 1
        leases = KubernetesLeases(self.wire, "default", NAME, mono=self.clock.mono, rng=self.rng)  # type: ignore[arg-type]
        self.lease = ActingLease(leases, f"{self.name}:{self.lives}", TTL, self.clock, in_store=False)

    async def live(self) -> None:
        """Keep the lease as the cycle does; now and then be cancelled in the middle, leave, or be killed."""
        while True:
            keeping = asyncio.ensure_future(self.lease.keep())
            if not self.wire.calm and self.rng.random() < 0.05:
                await asyncio.wait({keeping}, timeout=self.rng.uniform(0.0, 3.0))
                keeping.cancel()
            with suppress(asyncio.CancelledError):
                await keeping
            fate = self.rng.random()
            if not self.wire.calm and fate < 0.01:
                await self.lease.release()
                await asyncio.sleep(self.rng.uniform(0.0, 30.0))
                self.begin()
            elif not self.wire.calm and fate < 0.02:
                self.begin()  # killed: nothing is released
            await asyncio.sleep(self.rng.uniform(0.1, 5.0))


async def meddle(state: State, candidates: list[Candidate], rng: random.Random) -> None:
    """Partitions, and people who delete the Lease or write a note on it."""
    while True:
        await asyncio.sleep(rng.uniform(5.0, 60.0))
        chosen = rng.choice(candidates)
        chosen.wire.cut = not chosen.wire.cut
        lease = state.find("leases", "default", NAME)
        if lease is None:
            continue
        if rng.random() < 0.3:
            state.remove("leases", "default", NAME)
        elif rng.random() < 0.2:
            lease["metadata"]["annotations"] = {"note": str(rng.random())}
            state.update("leases", "default", lease)


def check(candidates: list[Candidate], seconds: float) -> None:
    acting = [c for c in candidates if c.lease.held]
    assert len(acting) <= 1, f"{[c.name for c in acting]} act at once"
    for one in acting:
        one.acted += seconds


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("seed", range(4))
def test_two_watches_never_act_at_once(count: int, seed: int) -> None:
    async def hours() -> None:
        rng, state = random.Random(seed * 10 + count), State()
        candidates = [Candidate(n, state, random.Random(rng.random())) for n in range(count)]
        tasks = [asyncio.ensure_future(c.live()) for c in candidates]
        tasks.append(asyncio.ensure_future(meddle(state, candidates, rng)))
        for _ in range(int(HOURS * 3600 / 0.5)):
            await asyncio.sleep(0.5)
            check(candidates, 0.5)
        tasks.pop().cancel()
        acted = [c.acted for c in candidates]
        assert sum(acted) > 0.3 * HOURS * 3600, f"somebody acts for much of the time: {acted}"
        assert all(acted), "and each has its turn"
        for one in candidates:
            one.wire.calm, one.wire.cut = True, False
        await asyncio.sleep(3 * TTL)
        assert [c for c in candidates if c.lease.held], "once all is calm, one of them acts"
        for _ in range(200):
            await asyncio.sleep(0.5)
            check(candidates, 0.5)
            assert sum(c.lease.held for c in candidates) == 1
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    loop = looptime.patch_event_loop(asyncio.new_event_loop(), noop_cycles=0)  # nothing here waits for sockets
    try:
        loop.run_until_complete(hours())
    finally:
        loop.close()
