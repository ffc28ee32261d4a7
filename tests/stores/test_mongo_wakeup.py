"""MongoDB: how an idle worker hears of work, by a change stream or by asking."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import mongo_server
import pytest
from backends import opened
from hanging import Network
from mongo_backends import MotorStore
from mongo_kit import handle, until
from store_kit import Hands, fence, new

from gradewatch.model import Finish, FinishKind
from gradewatch.stores import listener as listening
from gradewatch.stores.mongo import MongoStore


@pytest.fixture
def url() -> str:
    return mongo_server.emptied(mongo_server.server())


@pytest.fixture(params=["pymongo", "motor"])
async def store(request: pytest.FixtureRequest, url: str) -> AsyncIterator[MongoStore]:
    made = MongoStore(url) if request.param == "pymongo" else MotorStore(url)
    async with opened(made):
        yield made


async def differs(store: MongoStore, token: object) -> bool:
    return await store.change_token() != token


async def test_a_listener_asks_the_server_nothing(store: MongoStore, url: str) -> None:
    first = await store.change_token()
    assert isinstance(first, tuple)
    assert first[0] == "heard"
    call = store._data.call
    store._data.call = None  # type: ignore[method-assign, assignment]
    began = time.monotonic()
    assert all([await store.change_token() == first for _ in range(1000)])
    assert time.monotonic() - began < 1
    async with handle(url) as other:
        await other.submit([new()])
        await until(lambda: differs(store, first))
    store._data.call = call  # type: ignore[method-assign]


@pytest.mark.parametrize("how", ["release", "repair by hand", "undone"])
async def test_what_becomes_claimable_again_is_heard_of(url: str, how: str) -> None:
    async with handle(url) as store, handle(url) as other:
        hands = await Hands.open(other)
        [job_id] = await other.submit([new()])
        job = await hands.one()
        if how == "undone":
            await other.operate(job_id, "requeue", by="ann", sweep="s", message="")
        before = await store.change_token()
        if how == "release":
            await other.finish([Finish(fence(job), FinishKind.RELEASE)])
        elif how == "undone":
            await other.undo("s", by="ann")
        else:
            await other.operate(job_id, "requeue", by="ann", sweep="s", message="")
        await until(lambda: differs(store, before))


async def test_what_is_finished_wakes_nobody(url: str) -> None:
    async with handle(url) as store, handle(url) as other:
        hands = await Hands.open(other)
        await other.submit([new(), new()])
        [one, two] = await hands.claim()
        before = await store.change_token()
        assert await hands.finish(one)
        assert await store.change_token() == before
        assert await hands.finish(two, FinishKind.RELEASE)
        await until(lambda: differs(store, before))


async def test_a_stream_that_was_cut_off_begins_again(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "RETRY", 0.05)
    network = Network(mongo_server.server().port)
    try:
        through = f"mongodb://127.0.0.1:{network.port}/contract?directConnection=true"
        async with handle(through, timeout=1.0) as store, handle(url) as other:
            before = await store.change_token()
            network.hangs = True
            await other.submit([new()])
            network.hangs = False
            await until(lambda: differs(store, before))
            again = await store.change_token()
            await other.submit([new()])
            await until(lambda: differs(store, again))
    finally:
        network.close()


async def test_a_standalone_server_is_asked_instead() -> None:
    url = mongo_server.emptied(mongo_server.standalone())
    async with handle(url) as store, handle(url) as other:
        token = await store.change_token()
        assert isinstance(token, tuple)
        assert token[0] == "asked"
        assert await store.change_token() == token
        await other.submit([new()])
        assert await store.change_token() != token
