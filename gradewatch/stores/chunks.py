"""Writes by the hundred thousand: in chunks, lest a statement or transaction take long, a few of them at a time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from gradewatch.errors import StoreError
from gradewatch.model import Action, Outcome, Result

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Repair = Callable[[Sequence[Action]], Awaitable[list[Result]]]


async def in_chunks(actions: Sequence[Action], repair: Repair, *, size: int, abreast: int) -> list[Result]:
    """`repair` is given up to `size` actions, no job twice among them, `abreast` times at once; it may raise store
    errors. One result an action, in order. Once a chunk is written, a fault in another is reported as FAILED results
    rather than raised: what was done must not be forgotten."""
    results: dict[int, Result] = {}
    faults: list[StoreError] = []
    gate = asyncio.Semaphore(abreast)

    async def in_turn(places: Sequence[int]) -> None:
        async with gate:
            if faults:
                return
            try:
                results.update(zip(places, await repair([actions[place] for place in places]), strict=True))
            except StoreError as error:
                faults.append(error)

    for wave in _waves(actions):
        await asyncio.gather(*(in_turn(wave[start : start + size]) for start in range(0, len(wave), size)))
    if faults and not results:
        raise faults[0]
    return [results.get(place) or Result(one, Outcome.FAILED, str(faults[0])) for place, one in enumerate(actions)]


def _waves(actions: Sequence[Action]) -> list[list[int]]:
    """The places of actions, no job twice in one wave: of two actions on one job the first one counts, and is done
    before the second."""
    waves: list[list[int]] = []
    times: Counter[str] = Counter()
    for place, action in enumerate(actions):
        time = times[action.subject]
        times[action.subject] += 1
        if time == len(waves):
            waves.append([])
        waves[time].append(place)
    return waves


async def each(items: Sequence[Item], work: Callable[[Item], Awaitable[Answer]], *, abreast: int) -> list[Answer]:
    """What `work` answers to each item, in order, at most `abreast` at a time. The first error ends it: what has not
    begun never does, and nothing is left under way."""
    answers: dict[int, Answer] = {}
    waiting = iter(enumerate(items))

    async def in_turn() -> None:
        for place, item in waiting:
            answers[place] = await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(abreast, len(items))):
                group.create_task(in_turn())
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [answers[place] for place in range(len(items))]
