"""The limiter and the gate by themselves: whom they let in, and when."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack

import pytest

from gradewatch.worker.providers.classify import http_fault, seconds_of, words
from gradewatch.worker.providers.faults import Kind, NotNow, ProviderFault
from gradewatch.worker.providers.gate import Gate
from gradewatch.worker.providers.limiter import HOPE, Limiter
from gradewatch.worker.room import Room

AWAY = ProviderFault(Kind.UNAVAILABLE, "503")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_one_burst_finds_the_limit() -> None:
    limiter = Limiter(8, mono=Clock())
    async with AsyncExitStack() as three:
        for _ in range(3):
            await three.enter_async_context(limiter.slot())
        for refused in [limiter.slot() for _ in range(5)]:
            await refused.__aenter__()
        for _ in range(5):
            limiter.turned_away()
            limiter.in_flight -= 1
        assert limiter.limit == 3


async def test_it_rises_again_and_tries_what_was_refused_only_after_a_while() -> None:
    clock = Clock()
    limiter = Limiter(8, mono=clock)
    limiter.limit, limiter.in_flight = 4, 4
    limiter.turned_away()
    assert limiter.limit == 3
    limiter.in_flight = 3
    for _ in range(100):
        limiter.succeeded()
    assert limiter.limit == 3, "four were refused a moment ago"
    clock.now += HOPE + 1
    for _ in range(4):
        limiter.succeeded()
    assert limiter.limit == 4
    for _ in range(30):
        limiter.succeeded()
    assert limiter.limit == 8


async def test_the_place_of_one_who_was_cancelled_goes_to_the_next() -> None:
    limiter = Limiter(1)
    entered: list[int] = []

    async def enter(number: int) -> None:
        async with limiter.slot():
            entered.append(number)
            await asyncio.sleep(0)

    async with limiter.slot():
        waiting = [asyncio.create_task(enter(number)) for number in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.sleep(0)
    await asyncio.wait(waiting)
    assert (entered, limiter.in_flight) == ([1, 2], 0)


class Silent:
    """Waiting that nobody is told of."""

    def __init__(self) -> None:
        self.told: list[str] = []

    async def waiting(self, why: str, seconds: float) -> None:
        self.told.append(why)


def gate_of(check, **more) -> tuple[Gate, object]:  # type: ignore[no-untyped-def]
    from gradewatch.worker.providers.waiting import Waiting

    return Gate("groq", check, rng=random.Random(1), first=0.02, longest=0.05, **more), Waiting(Silent())  # type: ignore[arg-type]


async def test_three_failures_in_a_row_shut_it_and_a_success_between_does_not() -> None:
    async def check() -> None: ...

    gate, _ = gate_of(check)
    for fault in (AWAY, AWAY):
        gate.failed(fault)
    gate.succeeded()
    for fault in (AWAY, AWAY):
        gate.failed(fault)
    assert not gate.shut
    gate.failed(AWAY)
    assert gate.shut


async def test_one_at_a_time_tries_and_its_success_lets_all_in() -> None:
    checks = 0

    async def check() -> None:
        nonlocal checks
        checks += 1
        if checks < 3:
            raise AWAY

    gate, waiting = gate_of(check)
    for _ in range(3):
        gate.failed(AWAY)
    tries: list[bool] = []

    async def pass_() -> None:
        async with gate.passage(waiting, patient=True) as trial:  # type: ignore[arg-type]
            tries.append(trial)
            await asyncio.sleep(0.01)
            gate.succeeded()

    await asyncio.gather(*(pass_() for _ in range(20)))
    assert sorted(tries) == [False] * 19 + [True]
    assert checks == 3


async def test_who_has_somewhere_else_to_go_does_not_wait() -> None:
    async def check() -> None:
        raise AWAY

    gate, waiting = gate_of(check)
    for _ in range(3):
        gate.failed(AWAY)
    with pytest.raises(NotNow, match="503"):
        async with gate.passage(waiting, patient=False):  # type: ignore[arg-type]
            raise AssertionError("it is shut")


async def test_room_is_given_in_turn_and_never_in_part() -> None:
    room = Room(5)
    assert await room.take(4) == 4
    large = asyncio.create_task(room.take(3))
    await asyncio.sleep(0)
    small = asyncio.create_task(room.take(1))
    await asyncio.sleep(0)
    assert not small.done(), "it does not pass the one who waits for three"
    room.give(4)
    assert (await large, await small) == (3, 1)
    assert await asyncio.wait_for(Room(2).take(50), 1) == 2


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("2", 2.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("7m12.5s", 432.5),
        ("250ms", 0.25),
        ("1h", 3600.0),
        ("", None),
        (None, None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
    ],
)
def test_retry_after_as_groq_writes_it(header: str | None, seconds: float | None) -> None:
    assert seconds_of(header) == seconds


@pytest.mark.parametrize(
    ("status", "said", "headers", "kind"),
    [
        (401, "", {}, Kind.CREDENTIAL),
        (429, "slow down", {"retry-after": "3"}, Kind.RATE_LIMITED),
        (429, "slow down", {"retry-after": "600"}, Kind.OUT_OF_QUOTA),
        (429, "insufficient_quota", {}, Kind.OUT_OF_QUOTA),
        (503, "", {}, Kind.UNAVAILABLE),
        (404, "no such model", {}, Kind.UNAVAILABLE),
        (400, "json_validate_failed", {}, Kind.MALFORMED),
        (400, "bad", {}, Kind.REFUSED),
        (413, "too large", {}, Kind.REFUSED),
    ],
)
def test_what_a_status_means(status: int, said: str, headers: dict[str, str], kind: Kind) -> None:
    assert http_fault(status, headers, said).kind is kind


def test_a_providers_words_are_short_and_hold_no_key() -> None:
    said = words("Invalid API Key gsk_abcdefghijklmnop provided\nBearer ya29.secret " + "x" * 500)
    assert "gsk_" not in said
    assert "ya29" not in said
    assert len(said) <= 200
