"""The limiter and the gate by themselves: whom they let in, and when."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack

import pytest

from gradewatch.worker.providers.classify import http_fault, seconds_of, words
from gradewatch.worker.providers.faults import Kind, NotNow, ProviderFault
from gradewatch.worker.providers.gate import Asking, Gate
from gradewatch.worker.providers.limiter import HOPE, Limiter
from gradewatch.worker.room import Room
from gradewatch.worker.seats import MOST_ASIDE, Seats

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


def gate_of(check) -> tuple[Gate, object]:  # type: ignore[no-untyped-def]
    from gradewatch.worker.providers.waiting import Waiting

    gate = Gate("groq", check, rng=random.Random(1), first=0.02, longest=0.05, rests=(0.02, 9.0))
    return gate, Waiting(Silent())  # type: ignore[arg-type]


def fail(gate: Gate, times: int, fault: ProviderFault = AWAY) -> None:
    for asking in [Asking() for _ in range(times)]:
        with gate.sending(asking):
            gate.failed(asking, fault)


def succeed(gate: Gate) -> None:
    asking = Asking()
    with gate.sending(asking):
        gate.succeeded(asking)


async def passes() -> None:
    """A check."""


async def test_three_failures_in_a_row_shut_it_and_a_success_between_does_not() -> None:
    gate, _ = gate_of(passes)
    fail(gate, 2)
    succeed(gate)
    fail(gate, 2)
    assert not gate.shut
    fail(gate, 1)
    assert gate.shut


async def test_what_was_sent_before_a_failure_proves_nothing_of_the_time_after_it() -> None:
    gate, _ = gate_of(passes)
    before = Asking()
    with gate.sending(before):
        fail(gate, 3)
        gate.succeeded(before)
    assert (gate.shut, gate.good) == (True, False)
    succeed(gate)
    assert (gate.shut, gate.good) == (False, True)


async def test_being_refused_among_others_does_not_shut_it_and_being_refused_alone_does() -> None:
    gate, _ = gate_of(passes)
    crowded = ProviderFault(Kind.RATE_LIMITED, "429")
    other = Asking()
    with gate.sending(other):
        fail(gate, 5, crowded)
        assert not gate.shut
        gate.succeeded(other)
    fail(gate, 1, crowded)
    assert gate.shut


async def pass_(gate: Gate, waiting: object, asking: Asking, tries: list[tuple[bool, int]]) -> None:
    async with gate.passage(asking, waiting, patient=True, aside=lambda: None) as trial:  # type: ignore[arg-type]
        tries.append((trial, asking.failures))
        with gate.sending(asking):
            await asyncio.sleep(0.01)
            gate.succeeded(asking)


async def test_one_at_a_time_tries_and_its_success_lets_all_in() -> None:
    checks = 0

    async def check() -> None:
        nonlocal checks
        checks += 1
        if checks < 3:
            raise AWAY

    gate, waiting = gate_of(check)
    fail(gate, 3)
    tries: list[tuple[bool, int]] = []
    await asyncio.gather(*(pass_(gate, waiting, Asking(), tries) for _ in range(20)))
    assert sorted(tries) == [(False, 0)] * 19 + [(True, 0)]
    assert checks == 3


async def test_who_has_not_failed_tries_before_those_who_have() -> None:
    gate, waiting = gate_of(passes)
    fail(gate, 3)
    tries: list[tuple[bool, int]] = []
    failed = [Asking(failures=2), Asking(failures=1), Asking(failures=1)]
    await asyncio.gather(*(pass_(gate, waiting, asking, tries) for asking in [*failed, Asking()]))
    assert tries[0] == (True, 0)
    assert [trial for trial, _ in tries[1:]] == [False] * 3


async def test_one_that_failed_rests_before_it_tries_itself() -> None:
    gate, waiting = gate_of(passes)
    asking = Asking()
    with gate.sending(asking):
        gate.failed(asking, AWAY)
    assert not gate.open_to(asking)
    assert gate.open_to(Asking())
    began = asyncio.get_running_loop().time()
    tries: list[tuple[bool, int]] = []
    await pass_(gate, waiting, asking, tries)
    assert tries == [(True, 1)]
    assert asyncio.get_running_loop().time() - began >= 0.02


async def test_a_try_that_is_cancelled_gives_its_turn_to_the_next() -> None:
    gate, waiting = gate_of(passes)
    fail(gate, 3)

    async def hang() -> None:
        async with gate.passage(Asking(), waiting, patient=True, aside=lambda: None) as trial:  # type: ignore[arg-type]
            assert trial
            began.set()
            await asyncio.Event().wait()

    began = asyncio.Event()
    first = asyncio.create_task(hang())
    await began.wait()
    tries: list[tuple[bool, int]] = []
    second = asyncio.create_task(pass_(gate, waiting, Asking(), tries))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait_for(second, 5)
    assert tries == [(True, 0)]


async def test_who_has_somewhere_else_to_go_does_not_wait() -> None:
    async def check() -> None:
        raise AWAY

    gate, waiting = gate_of(check)
    fail(gate, 3)
    with pytest.raises(NotNow, match="503"):
        async with gate.passage(Asking(), waiting, patient=False, aside=lambda: None):  # type: ignore[arg-type]
            raise AssertionError("it is shut")


async def test_a_paper_that_waits_for_long_lets_others_begin_as_far_as_there_is_room_to_stand() -> None:
    seats, begun = Seats(1), 0

    def another() -> None:
        nonlocal begun
        begun += 1

    async with AsyncExitStack() as stack:
        for _ in range(MOST_ASIDE):
            seat = await stack.enter_async_context(seats.take(another))
            seat.leave()
            seat.leave()
        last = await stack.enter_async_context(seats.take(another))
        last.leave()
        assert (begun, last.left, seats.free.locked()) == (MOST_ASIDE, False, True)
    assert (seats.aside, seats.free.locked()) == (0, False)
    await seats.free.acquire()
    assert seats.free.locked(), "one place, as in the beginning"


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
