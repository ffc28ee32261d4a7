"""The contract suite's fixtures: `store`, and `other`, a second handle on the same data."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from backends import BACKENDS, Backend, StepClock, opened

from gradewatch.ports import Store


@pytest.fixture(params=list(BACKENDS))
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    return BACKENDS[request.param](tmp_path)


@pytest.fixture
def clock() -> StepClock:
    return StepClock()


@pytest.fixture
async def store(backend: Backend, clock: StepClock) -> AsyncIterator[Store]:
    async with opened(backend.handle(clock)) as handle:
        yield handle


@pytest.fixture
async def other(backend: Backend, clock: StepClock, store: Store) -> AsyncIterator[Store]:
    async with opened(backend.handle(clock)) as handle:
        yield handle
