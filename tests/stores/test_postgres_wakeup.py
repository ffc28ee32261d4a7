"""PostgreSQL: how an idle worker hears of work, and what holds behind a transaction pooler."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator

import postgres_server
import psycopg
import pytest
from backends import opened
from pooler import Pooler
from store_kit import Hands, fence, ids, new

from gradewatch.errors import StoreUnavailable
from gradewatch.model import Finish, FinishKind, JobState
from gradewatch.stores import listener as listening
from gradewatch.stores.postgres import PostgresStore


@pytest.fixture
def url() -> str:
    return postgres_server.emptied()


@pytest.fixture
def pooler(url: str) -> Iterator[Pooler]:
    made = Pooler(postgres_server.server().port, "contract", servers=2)
    yield made
    made.close()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await condition():
            await asyncio.sleep(0.005)


async def test_a_listener_asks_the_server_nothing(url: str) -> None:
    async with opened(PostgresStore(url)) as store, opened(PostgresStore(url)) as other:
        assert isinstance(store, PostgresStore)
        first = await store.change_token()
        store._database.call = None  # type: ignore[method-assign, assignment]
        began = time.monotonic()
        assert all([await store.change_token() == first for _ in range(1000)])
        assert time.monotonic() - began < 1
        await other.submit([new()])
        await until(lambda: differs(store, first))


async def differs(store: PostgresStore, token: object) -> bool:
    return await store.change_token() != token


@pytest.mark.parametrize("how", ["release", "repair by hand", "undone"])
async def test_what_becomes_claimable_again_is_heard_of(url: str, how: str) -> None:
    async with opened(PostgresStore(url)) as store, opened(PostgresStore(url)) as other:
        hands = await Hands.open(other)
        [job_id] = await other.submit([new()])
        job = await hands.one()
        if how == "undone":
            await other.operate(job_id, "cancel", by="ann", sweep="s", message="")
        before = await store.change_token()
        if how == "release":
            await other.finish([Finish(fence(job), FinishKind.RELEASE)])
        elif how == "undone":
            await other.undo("s", by="ann")
        else:
            await other.operate(job_id, "requeue", by="ann", sweep="s", message="")
        await until(lambda: differs(store, before))


async def test_a_listener_that_was_cut_off_listens_again(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "RETRY", 0.05)
    async with opened(PostgresStore(url)) as store:
        assert isinstance(store, PostgresStore)
        before = await store.change_token()
        with psycopg.connect(url, autocommit=True) as hand:
            hand.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
        await until(lambda: differs(store, before))
        await until(lambda: heard(store))
        again = await store.change_token()
        assert again != before, "what was missed meanwhile is looked for"
        await store.submit([new()])
        await until(lambda: differs(store, again))


async def heard(store: PostgresStore) -> bool:
    return store._listener.heard is not None


# ---------------------------------------------------------------- behind a pooler


async def test_a_pooler_is_recognised_and_asked_instead(url: str, pooler: Pooler) -> None:
    through = postgres_server.server().url("contract", port=pooler.port)
    async with opened(PostgresStore(through)) as store, opened(PostgresStore(url)) as other:
        token = await store.change_token()
        assert isinstance(token, tuple)
        assert token[0] == "summed"
        assert await store.change_token() == token
        await other.submit([new()])
        assert await store.change_token() != token


async def test_nothing_of_a_session_is_left_for_the_next_client(url: str, pooler: Pooler) -> None:
    through = postgres_server.server().url("contract", port=pooler.port)
    async with opened(PostgresStore(through)) as store:
        await store.submit([new()])
        await store.change_token()
        with psycopg.connect(through, autocommit=True, prepare_threshold=None) as client:
            for _ in range(4):  # each of the pooler's server processes
                [row] = client.execute(
                    "SELECT current_setting('statement_timeout'), current_setting('lock_timeout'), "
                    "(SELECT count(*) FROM pg_prepared_statements WHERE NOT from_sql), "
                    "(SELECT count(*) FROM pg_listening_channels()), "
                    "(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())"
                ).fetchall()
                assert row == ("0", "0", 0, 0, 0)
        assert pooler.transactions > 5


async def test_a_pooler_that_drops_its_clients(url: str, pooler: Pooler) -> None:
    """No job is lost and none finished twice, however often the worker is cut off."""
    through = postgres_server.server().url("contract", port=pooler.port)
    async with opened(PostgresStore(through)) as store, opened(PostgresStore(url)) as direct:
        submitted = await direct.submit([new(max_attempts=99) for _ in range(60)])
        hands, acknowledged = await Hands.open(direct), list[str]()
        worker = Hands(store, hands.session)
        for turn in range(200):
            if turn % 3 == 0:
                pooler.drop()
            try:
                jobs = await worker.claim(2)
                answers = await store.finish([Finish(fence(job), FinishKind.SUCCEED) for job in jobs])
                acknowledged += [job.id for job, held in zip(jobs, answers, strict=True) if held]
            except StoreUnavailable:
                held_now = await direct.beat(hands.session, loop_age=0, busy=0)
                await direct.finish([Finish(claim, FinishKind.RELEASE) for claim in held_now.held])
            if len(await direct.jobs(state=JobState.SUCCEEDED, limit=100)) == 60:
                break
        jobs = await direct.jobs(limit=100)
        assert sorted(ids(jobs)) == sorted(submitted)
        assert all(job.state is JobState.SUCCEEDED for job in jobs)
        assert len(acknowledged) == len(set(acknowledged))
