"""Five minutes without a provider, at the real intervals and by a clock run forward: what they cost each paper."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from prometheus_client import CollectorRegistry

from gradewatch.config import ProviderBudget
from gradewatch.metrics.local import ProviderMetrics
from gradewatch.model import CredentialFacts
from gradewatch.worker.providers.faults import Kind, ProviderFault
from gradewatch.worker.providers.line import Answer, Customer, Line
from gradewatch.worker.providers.memory import Memory
from gradewatch.worker.providers.waiting import Waiting, now
from gradewatch.worker.seats import Seats

virtual = pytest.mark.looptime(noop_cycles=2)  # there is no socket to wait for
DOWN, BACK = 10.0, 310.0  # by the loop's clock
SECONDS = 2.0  # of a call that is answered


class Store:
    """What a line needs of one: it allows everything, and remembers until when it was told of trouble."""

    def __init__(self) -> None:
        self.trouble_until = 0.0

    async def reserve(self, *_: object, **__: object) -> str:
        return ""

    async def tell_trouble(self, fact: CredentialFacts, *, lasts: float) -> None:
        self.trouble_until = now() + lasts

    async def clear_trouble(self, provider: str) -> None:
        self.trouble_until = 0.0


class Job:
    """A job's context, of which only the telling is used."""

    async def waiting(self, why: str, seconds: float) -> None: ...


Fault = Callable[[], ProviderFault]


@dataclass
class Provider:
    """Out from DOWN to BACK: paid calls meet `fault` after `slow` seconds, free checks `checks`, or pass where it is
    None. With `most`, it refuses whatever comes beyond that many at once, all the time."""

    fault: Fault | None
    checks: Fault | None = None
    slow: float = 0.0
    most: int | None = None
    calls: Counter[int] = field(default_factory=Counter)
    in_flight: int = 0

    @property
    def out(self) -> bool:
        return DOWN <= now() < BACK

    async def check(self) -> None:
        if self.out and self.checks:
            raise self.checks()

    async def ask(self, paper: int) -> Answer[int]:
        self.calls[paper] += 1
        if self.most is not None and self.in_flight >= self.most:
            raise ProviderFault(Kind.RATE_LIMITED, "429")
        if self.out and self.fault:
            await asyncio.sleep(self.slow)
            raise self.fault()
        self.in_flight += 1
        try:
            await asyncio.sleep(SECONDS)
        finally:
            self.in_flight -= 1
        return Answer(paper)


async def grade(provider: Provider, papers: int, seed: int, *, begin: float = 0.0) -> tuple[float, Store]:
    """Grade so many papers, eight in work at once, as a worker's pipeline does; when the last one was done."""
    store = Store()
    metrics = ProviderMetrics(CollectorRegistry(), ("groq",))
    memory = Memory(store, ProviderBudget())  # type: ignore[arg-type]
    line = Line(
        "groq", "GROQ_API_KEY", provider.check, memory, metrics, timeout=60.0, most=16, rng=random.Random(seed)
    )  # fmt: skip
    waiting, seats, todo, done = Waiting(Job()), Seats(8), iter(range(papers)), set()  # type: ignore[arg-type]
    await asyncio.sleep(begin)

    async def work() -> None:
        for paper in todo:
            async with seats.take(another) as seat:
                customer = Customer("job", waiting, seat.leave)
                await asyncio.sleep(random.Random(paper + seed).random())  # reading it
                done.add(await line.call(customer, 0, lambda paper=paper: provider.ask(paper)))
            if seat.left:
                return

    def another() -> None:
        group.create_task(work())

    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            another()
    await waiting.close()
    assert done == set(range(papers)), "no paper is lost or failed"
    return now(), store


def unavailable() -> ProviderFault:
    return ProviderFault(Kind.UNAVAILABLE, "503")


def refused(after: float | None = None) -> Fault:
    return lambda: ProviderFault(Kind.RATE_LIMITED, "429", retry_after=after)


def denied() -> ProviderFault:
    return ProviderFault(Kind.CREDENTIAL, "403")


OUTAGES = {
    "all of it": lambda: Provider(unavailable, unavailable),
    "all of it, slowly": lambda: Provider(unavailable, unavailable, slow=20.0),
    "paid calls only": lambda: Provider(unavailable),
    "paid calls only, slowly": lambda: Provider(unavailable, slow=3.0),
    "429 without a time": lambda: Provider(refused()),
    "429 with a time": lambda: Provider(refused(20.0)),
    "429 with a time that is too short": lambda: Provider(refused(1.0)),
    "429 to checks too": lambda: Provider(refused(), refused()),
    "a key that may list and not use": lambda: Provider(denied),
}


@virtual
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("outage", OUTAGES)
async def test_five_minutes_cost_each_of_sixty_papers_one_call_more_at_most(outage: str, seed: int) -> None:
    provider = OUTAGES[outage]()
    at, store = await grade(provider, 60, seed)
    assert max(provider.calls.values()) <= 2, provider.calls.most_common(5)
    assert provider.calls.total() <= 60 + 8 + 9, "those in flight, and nine tries"
    assert BACK < at < BACK + 61 * 1.25 + 30 * SECONDS, "found within a minute or so"
    assert store.trouble_until == 0.0, "and told"


@virtual
@pytest.mark.parametrize("papers", [1, 3, 8, 12])
@pytest.mark.parametrize("outage", OUTAGES)
async def test_they_cost_a_few_papers_two_at_most(outage: str, papers: int) -> None:
    """Where all that are left have failed once, one of them must find out; after the second time it rests for long."""
    provider = OUTAGES[outage]()
    at, _ = await grade(provider, papers, seed=1, begin=DOWN)
    assert max(provider.calls.values()) <= 3, provider.calls
    assert at < BACK + 330.0


@virtual
async def test_the_watch_is_told_for_as_long_as_nobody_asks() -> None:
    provider = OUTAGES["paid calls only"]()
    asking = asyncio.create_task(grade(provider, 1, seed=1, begin=DOWN))
    told = []
    while not asking.done():
        told.append(now())
        await asyncio.sleep(5.0)
    _, store = await asking
    assert provider.calls[0] == 3
    assert len(told) > 60
    assert store.trouble_until == 0.0


@virtual
@pytest.mark.parametrize("seed", range(2))
async def test_one_failure_among_many_holds_its_paper_up_for_a_call_and_the_last_paper_for_ten_seconds(
    seed: int,
) -> None:
    provider = Provider(None)
    real, once = provider.ask, iter([True])

    async def ask(paper: int) -> Answer[int]:
        if paper == 20 and next(once, False):
            provider.calls[paper] += 1
            raise unavailable()
        return await real(paper)

    provider.ask = ask  # type: ignore[method-assign]
    at, _ = await grade(provider, 21, seed)
    assert at < 9.0 + 10.0 + 2 * SECONDS
    assert provider.calls[20] == 2
    assert provider.calls.total() == 22


@virtual
async def test_a_limit_on_how_many_at_once_costs_a_paper_one_call_and_hardly_any_time() -> None:
    provider = Provider(None, most=3)
    at, _ = await grade(provider, 30, seed=1)
    assert max(provider.calls.values()) <= 2, provider.calls
    assert at < 1.3 * 30 * SECONDS / 3
