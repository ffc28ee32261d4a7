"""MongoDB: what can go wrong with a real server, each as one of our own errors with a sentence that helps."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import AsyncIterator

import mongo_server
import pytest
from hanging import Network
from mongo_kit import Crowd, handle, refusal
from store_kit import Hands, get, ids, new

from gradewatch.errors import PayloadError, StoreUnavailable
from gradewatch.model import FinishKind, JobState
from gradewatch.stores.mongo import MongoStore

QUOTED = "hunter2-p%40ss%2Fword"


@pytest.fixture
def url() -> str:
    return mongo_server.emptied(mongo_server.server())


@pytest.fixture
async def store(url: str) -> AsyncIterator[MongoStore]:
    async with handle(url) as made:
        yield made


# ---------------------------------------------------------------- nobody there, or nobody answers


async def test_nobody_listens() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        error = await refusal(f"mongodb://ann:{QUOTED}@127.0.0.1:{reserved.getsockname()[1]}/db")
    assert isinstance(error, StoreUnavailable)
    assert "cannot be reached, tried for 1.0 s" in str(error)
    assert "hunter2" not in str(error)


async def test_a_host_that_takes_the_connection_and_says_nothing() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        began = time.monotonic()
        error = await refusal(f"mongodb://127.0.0.1:{silent.getsockname()[1]}/db")
    assert isinstance(error, StoreUnavailable)
    assert time.monotonic() - began < 4


async def test_a_network_that_hangs_without_closing(store: MongoStore) -> None:
    network = Network(mongo_server.server().port)
    try:
        through = f"mongodb://127.0.0.1:{network.port}/contract?directConnection=true"
        async with handle(through, timeout=1.0) as cut_off:
            hands = await Hands.open(cut_off)
            [job_id] = await cut_off.submit([new()])
            network.hangs = True
            began = time.monotonic()
            with pytest.raises(StoreUnavailable, match=r"did not answer within 1\.0 s|cannot be reached"):
                await hands.claim()
            assert 0.8 < time.monotonic() - began < 4
            assert (await get(store, job_id)).state is JobState.PENDING, "others go on"
            network.hangs = False
            assert ids(await Hands(cut_off, hands.session).claim()) == [job_id], "and so do we, by itself"
    finally:
        network.close()


async def test_a_server_that_hangs_ends_no_sooner_and_no_later_than_the_deadline() -> None:
    server = mongo_server.new_server()
    try:
        async with handle(server.url(), timeout=1.0) as store:
            await store.submit([new()])
            server.signal(signal.SIGSTOP)
            try:
                began = time.monotonic()
                with pytest.raises(StoreUnavailable):
                    await store.submit([new()])
                assert 0.8 < time.monotonic() - began < 4
            finally:
                server.signal(signal.SIGCONT)
            assert len(await store.submit([new()])) == 1
    finally:
        server.remove()


async def test_a_call_that_is_given_up_leaves_the_store_whole(store: MongoStore) -> None:
    given_up = 0
    for turns in (3, 10, 20, 30, 50, 80):
        waiting = asyncio.create_task(store.submit([new() for _ in range(200)]))  # noqa: RUF006
        for _ in range(turns):
            await asyncio.sleep(0)
        given_up += waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    assert given_up
    jobs = len(await store.jobs(limit=2000))
    assert jobs % 200 == 0, "all of a submission, or nothing"
    assert (await store.stats("default")).pending == jobs
    assert len(await store.submit([new()])) == 1


# ---------------------------------------------------------------- killed and restarted


async def test_a_server_killed_in_mid_claim_loses_no_job_and_finishes_none_twice() -> None:
    """SIGKILL while three workers claim and finish; then it comes back, and so do they."""
    server = mongo_server.new_server()
    try:
        url = server.url()
        async with handle(url) as store:
            crowd = Crowd(url, await store.submit([new(max_attempts=100) for _ in range(400)]))

            async def crash() -> None:
                await crowd.reached(60)
                await asyncio.to_thread(server.kill)
                with pytest.raises(StoreUnavailable):
                    await store.check([])
                await asyncio.to_thread(server.start)
                crowd.over.set()

            await asyncio.gather(crash(), crowd.work())
            assert crowd.faults, "the workers noticed"
            assert crowd.calls < 200, "nobody asks in a busy loop"
            await crowd.check(store)
    finally:
        server.remove()


# ---------------------------------------------------------------- documents near 16 MB


async def test_a_large_payload_comes_back_whole(url: str) -> None:
    payload = {"text": "x\\'\"; $set: . \u0000 ß" * 150_000, "$where": {"a.b": 2**70, "\x00": [1.5, None]}}
    async with handle(url, timeout=20.0) as store:
        [job_id] = await store.submit([new(payload=payload, key="$'; \\ .")])
        assert (await get(store, job_id)).payload == payload


async def test_a_result_too_large_fails_its_own_job_with_the_reason(url: str) -> None:
    async with handle(url, timeout=20.0) as store:
        hands = await Hands.open(store)
        await store.submit([new(payload={"text": "x" * (7 << 20)}), new()])
        large, small = await hands.claim()
        assert await hands.finish(large, FinishKind.SUCCEED, result={"text": "y" * (7 << 20)})
        assert await hands.finish(small, FinishKind.SUCCEED, result={"text": "y" * (5 << 20)})
        failed = await get(store, large.id)
        assert failed.error is not None
        assert (failed.state, failed.error.code) == (JobState.FAILED, "result_invalid")
        assert "6 MiB can be kept" in failed.error.message
        assert (await get(store, small.id)).state is JobState.SUCCEEDED
        undone = await store.operate(large.id, "requeue", by="ann", sweep="s", message="")
        assert undone.state is JobState.PENDING


async def test_a_detail_too_large_is_refused_and_one_just_below_kept(url: str) -> None:
    from store_kit import fence, graded

    async with handle(url, timeout=20.0) as store:
        hands = await Hands.open(store)
        await store.submit([new()])
        job = await hands.one()
        fits, too_large = graded(0), graded(1)
        fits.detail["text"] = "x" * (11 << 20)  # type: ignore[index]
        too_large.detail["text"] = "x" * (13 << 20)  # type: ignore[index]
        await store.save_paper(fence(job), fits)
        with pytest.raises(PayloadError, match="12 MiB"):
            await store.save_paper(fence(job), too_large)
        assert [paper.index for paper in await store.papers(job.id)] == [0]
        assert await hands.finish(job)
