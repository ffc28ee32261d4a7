from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from cluster_kit import REAL, Cluster, StandIn, some_cluster, stand_in


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with some_cluster() as made:
        yield made


@pytest.fixture
async def standin() -> AsyncIterator[StandIn]:
    async with stand_in() as made:
        yield made


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A real cluster is slow: an image is pulled, a back-off takes its ten seconds."""
    if REAL:
        for item in items:
            item.add_marker(pytest.mark.timeout(600))
