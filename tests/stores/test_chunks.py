"""Repairs in chunks: each action gets its result, no job is repaired twice at once, and a fault forgets nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradewatch.errors import StoreUnavailable
from gradewatch.model import Action, ActionKind, Code, Outcome, Result
from gradewatch.stores.chunks import each, in_chunks


def an_action(subject: str) -> Action:
    return Action(ActionKind.RESTART, "default", Code.WORKER_NOT_RUNNING, subject, target=subject, incarnation="1")


class Repairs:
    """Takes a turn of the loop for each chunk; those with a subject of `failing` fail."""

    def __init__(self, failing: Sequence[str] = ()) -> None:
        self.failing = frozenset(failing)
        self.done: Counter[str] = Counter()
        self.now: Counter[str] = Counter()
        self.sizes: list[int] = []
        self.abreast = self.most_abreast = 0

    async def __call__(self, chunk: Sequence[Action]) -> list[Result]:
        subjects = [action.subject for action in chunk]
        self.abreast += 1
        self.now.update(subjects)
        self.sizes.append(len(chunk))
        self.most_abreast = max(self.most_abreast, self.abreast)
        assert set(self.now.values()) == {1}, "no job is in two repairs at a time"
        await asyncio.sleep(0)
        self.abreast -= 1
        self.now -= Counter(subjects)
        if self.failing & set(subjects):
            raise StoreUnavailable("gone")
        self.done.update(subjects)
        return [Result(action, Outcome.APPLIED if self.done[action.subject] == 1 else Outcome.NOOP) for action in chunk]


@given(st.lists(st.sampled_from("abcdefgh")), st.integers(1, 4), st.integers(1, 3))
def test_each_gets_its_result_and_of_two_on_one_job_the_first_counts(subjects: list[str], size: int, wide: int) -> None:
    repairs, actions = Repairs(), [an_action(subject) for subject in subjects]
    results = asyncio.run(in_chunks(actions, repairs, size=size, abreast=wide))
    assert [result.action for result in results] == actions
    seen: set[str] = set()
    for result in results:
        first = result.action.subject not in seen
        assert result.outcome is (Outcome.APPLIED if first else Outcome.NOOP)
        seen.add(result.action.subject)
    assert max(repairs.sizes, default=0) <= size
    assert repairs.most_abreast <= wide


async def test_what_was_done_before_a_fault_is_not_forgotten() -> None:
    repairs = Repairs(failing="c")
    results = await in_chunks([an_action(subject) for subject in "abcdef"], repairs, size=2, abreast=1)
    assert [result.outcome.value for result in results] == ["applied", "applied", *["failed"] * 4]
    assert {result.detail for result in results[2:]} == {"gone"}
    assert repairs.done == Counter("ab"), "after a fault nothing more is tried"


async def test_a_fault_before_anything_was_done_is_raised() -> None:
    with pytest.raises(StoreUnavailable):
        await in_chunks([an_action(subject) for subject in "abcd"], Repairs(failing="a"), size=2, abreast=1)


@given(st.integers(0, 12), st.integers(1, 4), st.none() | st.integers(0, 11))
def test_a_few_at_a_time_and_none_after_the_first_error(many: int, abreast: int, failing: int | None) -> None:
    under_way, most, begun, ended = 0, 0, 0, 0

    async def work(item: int) -> int:
        nonlocal under_way, most, begun, ended
        under_way, begun = under_way + 1, begun + 1
        most = max(most, under_way)
        try:
            await asyncio.sleep(0)
            if item == failing:
                raise StoreUnavailable("gone")
            await asyncio.sleep(0)
        finally:
            under_way, ended = under_way - 1, ended + 1
        return item

    async def run() -> list[int]:
        return await each(range(many), work, abreast=abreast)

    if failing is None or failing >= many:
        assert asyncio.run(run()) == list(range(many))
    else:
        with pytest.raises(StoreUnavailable):
            asyncio.run(run())
        assert begun <= failing + abreast, "nothing begins once there is an error"
    assert most <= abreast
    assert begun == ended, "nothing is left under way"
