"""MongoDB: a replica set whose primary steps down, is away for a while, or dies in the middle of claims."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import mongo_server
import pytest
from mongo_kit import Crowd, handle
from store_kit import Hands, get, new

from gradewatch.errors import StoreUnavailable
from gradewatch.model import JobState


@pytest.fixture
def alone() -> Iterator[mongo_server.Server]:
    """A replica set of one, which nobody takes over from."""
    made = mongo_server.new_server()
    yield made
    made.remove()


@pytest.fixture
def three() -> Iterator[list[mongo_server.Server]]:
    made = [mongo_server.new_server(initiate=False) for _ in range(3)]
    made[0].initiate(made)
    yield made
    for server in made:
        server.remove()


async def test_a_primary_that_steps_down_in_mid_claim(alone: mongo_server.Server) -> None:
    url = alone.url()
    async with handle(url) as store:
        crowd = Crowd(url, await store.submit([new(max_attempts=100) for _ in range(300)]))

        async def step() -> None:
            await crowd.reached(60)
            await asyncio.to_thread(alone.step_down, 1)
            crowd.over.set()

        await asyncio.gather(step(), crowd.work())
        await crowd.check(store)


async def test_a_set_without_a_primary_for_a_while(alone: mongo_server.Server) -> None:
    async with handle(alone.url(), timeout=1.0) as store:
        hands = await Hands.open(store)
        [job_id] = await store.submit([new()])
        await asyncio.to_thread(alone.step_down, 4)
        with pytest.raises(StoreUnavailable, match=r"no primary that answers|electing a new primary"):
            await hands.claim()
        with pytest.raises(StoreUnavailable):
            await store.stats("default")

        async def back() -> bool:
            try:
                return bool(await hands.claim())
            except StoreUnavailable:
                return False

        async with asyncio.timeout(20):
            while not await back():
                await asyncio.sleep(0.05)
        assert (await get(store, job_id)).state is JobState.RUNNING


async def test_a_primary_that_dies_in_mid_claim(three: list[mongo_server.Server]) -> None:
    """Another member takes over, and what was acknowledged is there: the majority had it."""
    hosts = ",".join(server.address for server in three)
    url = f"mongodb://{hosts}/test?replicaSet=rs"
    async with handle(url, timeout=20.0) as store:
        crowd = Crowd(url, await store.submit([new(max_attempts=100) for _ in range(200)]))

        async def crash() -> None:
            await crowd.reached(40)
            hello: dict[str, Any] = await store._data.handle.command("hello")
            [primary] = [server for server in three if server.address == hello["primary"]]
            await asyncio.to_thread(primary.kill)
            crowd.over.set()

        await asyncio.gather(crash(), crowd.work())
        await crowd.check(store)
