"""PostgreSQL: what can go wrong with a real server, each as one of our own errors with a sentence that helps."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import postgres_server
import psycopg
import pytest
from backends import opened
from store_kit import Hands, fence, get, ids, new

from gradewatch.errors import AccessDenied, Conflict, SchemaMismatch, StoreUnavailable
from gradewatch.model import Finish, FinishKind, JobState
from gradewatch.stores.postgres import PostgresStore

SECRET = "hunter2-p@ss/word"
QUOTED = "hunter2-p%40ss%2Fword"


@pytest.fixture
def url() -> str:
    return postgres_server.emptied()


@asynccontextmanager
async def handle(url: str, **options: Any) -> AsyncIterator[PostgresStore]:
    async with opened(PostgresStore(url, **{"timeout": 1.0, **options})) as store:
        assert isinstance(store, PostgresStore)
        yield store


@pytest.fixture
async def store(url: str) -> AsyncIterator[PostgresStore]:
    async with handle(url) as made:
        yield made


@contextmanager
def by_hand(url: str, *statements: str) -> Iterator[psycopg.Connection[Any]]:
    """A transaction that stays open for the length of the context."""
    with psycopg.connect(url) as hand:
        for statement in statements:
            hand.execute(statement.encode())
        yield hand
        hand.rollback()


def at_once(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as hand:
        hand.execute(statement.encode())


async def refusal(url: str, **options: Any) -> Exception:
    """What opening is answered with."""
    store = PostgresStore(url, **{"timeout": 1.0, **options})
    try:
        with pytest.raises((SchemaMismatch, StoreUnavailable, AccessDenied)) as caught:
            await store.open()
        return caught.value
    finally:
        await store.close()


# ---------------------------------------------------------------- nobody there, or nobody answers


async def test_nobody_listens() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        error = await refusal(f"postgresql://ann:{QUOTED}@127.0.0.1:{reserved.getsockname()[1]}/db")
    assert isinstance(error, StoreUnavailable)
    assert "cannot be reached" in str(error)
    assert "hunter2" not in str(error)


async def test_a_host_that_takes_the_connection_and_says_nothing() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        began = time.monotonic()
        error = await refusal(f"postgresql://127.0.0.1:{silent.getsockname()[1]}/db")
    assert "did not answer within 1.0 s" in str(error)
    assert time.monotonic() - began < 4


async def test_a_server_process_that_hangs(store: PostgresStore, url: str) -> None:
    """The system still acknowledges what is sent to it: only our own deadline ends the wait."""
    await store.submit([new()])
    with psycopg.connect(url, autocommit=True) as hand:
        [(pid,)] = hand.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name = 'gradewatch' AND datname = 'contract'"
        ).fetchall()
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match="did not answer within"):
            await store.submit([new()])
        assert 0.9 < time.monotonic() - began < 4
    finally:
        os.kill(pid, signal.SIGCONT)
    assert await store.jobs(), "the next call takes another connection"


async def test_a_statement_that_takes_too_long_is_broken_off_by_the_server(store: PostgresStore, url: str) -> None:
    at_once(url, "CREATE OR REPLACE FUNCTION gradewatch.nap(seconds float8) RETURNS text LANGUAGE sql "
                 "AS 'SELECT pg_sleep(seconds)::text'")  # fmt: skip
    try:
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match="took too long and was broken off"):
            await store._database.call("nap", seconds=5.0)
        assert time.monotonic() - began < 4
    finally:
        at_once(url, "DROP FUNCTION gradewatch.nap")


async def test_connections_are_bounded_and_waited_for_no_longer_than_a_call_may_take(url: str) -> None:
    async with handle(url, connections=2) as store:
        pool, later = store._database.connections, asyncio.get_running_loop().time() + 20
        async with pool.one(later), pool.one(later):
            with pytest.raises(StoreUnavailable, match="all 2 connections of this process stayed in use"):
                await store.submit([new()])
        await asyncio.gather(*(store.submit([new()]) for _ in range(20)))
        with psycopg.connect(url) as hand:
            count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'gradewatch'"
            assert hand.execute(count).fetchone() == (2,)


async def test_a_call_that_is_given_up_leaves_the_store_whole(url: str) -> None:
    async with handle(url, connections=1, timeout=5.0) as store:
        with by_hand(url, "LOCK TABLE gradewatch.jobs"):
            waiting = asyncio.create_task(store.submit([new()]))
            await asyncio.sleep(0.1)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        assert await store.jobs() == [], "what was given up was not done behind the caller's back"
        assert len(await store.submit([new()])) == 1


# ---------------------------------------------------------------- connections cut, locks held


def cut_all(url: str) -> None:
    """End every server process that gradewatch talks to, and see it gone."""
    ended = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'gradewatch'"
    at_once(url, ended)


async def test_idle_connections_that_were_cut_are_replaced_unnoticed(store: PostgresStore, url: str) -> None:
    await asyncio.gather(*(store.submit([new()]) for _ in range(4)))
    cut_all(url)
    await asyncio.gather(*(store.submit([new()]) for _ in range(4)))
    assert len(await store.jobs()) == 8


async def test_a_connection_cut_in_mid_call(url: str) -> None:
    async with handle(url, timeout=5.0) as store:
        with by_hand(url, "LOCK TABLE gradewatch.jobs"):
            waiting = asyncio.create_task(store.submit([new()]))
            await asyncio.sleep(0.1)
            cut_all(url)
            with pytest.raises(StoreUnavailable, match="shut down or restarted"):
                await waiting
        assert await store.jobs() == []
        assert len(await store.submit([new()])) == 1


async def test_a_table_that_stays_locked(store: PostgresStore, url: str) -> None:
    hands = await Hands.open(store)
    [job_id] = await store.submit([new()])
    with by_hand(url, "LOCK TABLE gradewatch.jobs"):
        for call in (store.submit([new()]), hands.claim(), store.jobs()):
            began = time.monotonic()
            with pytest.raises(StoreUnavailable, match="a lock that somebody else holds"):
                await call
            assert time.monotonic() - began < 4
    assert ids(await store.jobs()) == [job_id]
    assert ids(await hands.claim()) == [job_id]


async def test_a_row_that_stays_locked_holds_up_nothing_but_itself(store: PostgresStore, url: str) -> None:
    """As by a session that sits idle in its transaction."""
    hands = await Hands.open(store)
    [locked, free] = await store.submit([new(priority=1), new()])
    with by_hand(url, f"SELECT FROM gradewatch.jobs WHERE id = '{locked}' FOR UPDATE"):
        assert ids(await hands.claim()) == [free]
    [job] = await hands.claim()
    row_locked = by_hand(url, f"SELECT FROM gradewatch.jobs WHERE id = '{locked}' FOR UPDATE")
    with row_locked, pytest.raises(StoreUnavailable, match="a lock that somebody else holds"):
        await hands.finish(job)
    assert await hands.finish(job)


# ---------------------------------------------------------------- killed and restarted


async def test_a_server_killed_in_mid_claim_loses_no_job_and_finishes_none_twice() -> None:
    """SIGKILL to all of the server while three workers claim and finish; then it comes back, and so do they."""
    server = postgres_server.new_server(durable=True)
    try:
        url = server.url()
        async with handle(url, timeout=2.0) as store:
            submitted = await store.submit([new(max_attempts=100) for _ in range(400)])
            acknowledged: list[str] = []
            outages: list[str] = []
            back = asyncio.Event()

            async def work() -> None:
                async with handle(url, timeout=2.0) as mine:
                    while len(acknowledged) < len(submitted):
                        try:
                            await one_life(mine, acknowledged)
                            if back.is_set():
                                return
                        except (StoreUnavailable, Conflict) as error:
                            outages.append(str(error))
                            await asyncio.sleep(0.02)

            async def crash() -> None:
                while len(acknowledged) < 60:
                    await asyncio.sleep(0.001)
                await asyncio.to_thread(server.kill)
                with pytest.raises(StoreUnavailable):
                    await store.check([])
                await asyncio.to_thread(server.start)
                back.set()

            async with asyncio.timeout(40):
                await asyncio.gather(crash(), *(work() for _ in range(3)))
            assert outages, "the workers noticed"
            assert SECRET not in "".join(outages)
            jobs = await store.jobs(limit=1000)
            assert sorted(ids(jobs)) == sorted(submitted)
            assert len(set(acknowledged)) == len(acknowledged), "no job was finished twice"
            done = {job.id for job in jobs if job.state is JobState.SUCCEEDED}
            assert set(acknowledged) <= done, "what was acknowledged outlived the crash"
            open_still = [session.id for session in await store.sessions()]
            held = await store.held("default", open_still, kinds=None, limit=1000)
            assert {job.id for job in held} | done == set(submitted), "the rest is found by the watch"
            stats = await store.stats("default")
            assert (stats.running, stats.finished_total["succeeded"]) == (len(held), len(done))
    finally:
        server.remove()


async def one_life(store: PostgresStore, acknowledged: list[str]) -> None:
    """A worker from the opening of its session until it finds nothing more; it also ends when a call fails."""
    hands = await Hands.open(store)
    try:
        while jobs := await hands.claim(5):
            answers = await store.finish([Finish(fence(job), FinishKind.SUCCEED) for job in jobs])
            acknowledged += [job.id for job, held in zip(jobs, answers, strict=True) if held]
    finally:
        with contextlib.suppress(StoreUnavailable):
            await store.end_session(hands.session, "over")


# ---------------------------------------------------------------- who may do what


@pytest.fixture
def role(url: str) -> Iterator[str]:
    """A role that may log in, and nothing else."""
    at_once(url, f"CREATE ROLE app LOGIN PASSWORD '{SECRET}'")
    yield postgres_server.server().url("contract", user="app", password=QUOTED)
    at_once(url, "DROP OWNED BY app; DROP ROLE app")


async def test_a_wrong_password(role: str) -> None:
    error = await refusal(role.replace(QUOTED, "guessed-password"))
    assert isinstance(error, AccessDenied)
    assert "refused the user or the password" in str(error)
    assert "guessed" not in str(error)
    assert isinstance(await refusal(role.replace("app", "nobody-of-that-name")), AccessDenied)


async def test_a_role_without_rights(role: str) -> None:
    error = await refusal(role)
    assert isinstance(error, AccessDenied)
    assert "permission denied for schema gradewatch" in str(error)
    assert "docs/postgres.md" in str(error)
    assert "hunter2" not in str(error)


async def test_the_documented_grants_are_enough_and_open_no_table(role: str, url: str) -> None:
    at_once(url, "GRANT USAGE ON SCHEMA gradewatch TO app; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA gradewatch TO app")
    store = PostgresStore(role)
    await store.open()
    try:
        hands = await Hands.open(store)
        await store.submit([new(key="k")])
        assert await hands.finish(await hands.one())
        assert (await store.stats("default")).finished_total["succeeded"] == 1
        assert await store.purge(finished_age=0, audit_age=0, limit=5) >= 0
        with pytest.raises(AccessDenied):
            await store.migrate()
        with psycopg.connect(role) as hand, pytest.raises(psycopg.errors.InsufficientPrivilege):
            hand.execute("SELECT payload FROM gradewatch.jobs")
    finally:
        await store.close()


async def test_a_role_that_may_not_create_the_schema(role: str) -> None:
    postgres_server.server().sql("CREATE DATABASE bare")
    try:
        store = PostgresStore(role.replace("/contract", "/bare"))
        with pytest.raises(AccessDenied, match="permission denied for database"):
            await store.migrate()
        await store.close()
    finally:
        postgres_server.server().sql("DROP DATABASE bare")


async def test_a_role_with_no_connections_left(role: str, url: str) -> None:
    at_once(url, "ALTER ROLE app CONNECTION LIMIT 0")
    error = await refusal(role)
    assert isinstance(error, StoreUnavailable)
    assert "takes no more connections" in str(error)


async def test_a_store_that_is_read_only(store: PostgresStore, url: str) -> None:
    """As a standby is, or a database that its provider has locked because its disk is full."""
    [job_id] = await store.submit([new()])
    at_once(url, "ALTER DATABASE contract SET default_transaction_read_only = on")
    try:
        async with handle(url) as fresh:
            with pytest.raises(StoreUnavailable, match="read-only"):
                await fresh.submit([new()])
            assert ids(await fresh.jobs()) == [job_id]
            assert (await fresh.stats("default")).pending == 1, "probes go on, and fold nothing"
    finally:
        with psycopg.connect(url, autocommit=True, options="-c default_transaction_read_only=off") as hand:
            hand.execute("ALTER DATABASE contract RESET default_transaction_read_only")


@pytest.mark.parametrize(
    ("state", "kind", "said"),
    [
        ("disk_full", StoreUnavailable, "disk is full"),
        ("out_of_memory", StoreUnavailable, "out of memory"),
        ("deadlock_detected", StoreUnavailable, "gave way"),
        ("index_corrupted", StoreUnavailable, "REINDEX"),
        ("check_violation", Conflict, "refused the write"),
        ("external_routine_exception", StoreUnavailable, "gave up unexpectedly"),
    ],
)
async def test_what_the_server_says_is_said_in_our_words(
    store: PostgresStore, url: str, state: str, kind: type[Exception], said: str
) -> None:
    at_once(
        url,
        "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION 'so it is' USING ERRCODE = '{state}'; END $$;"
        "CREATE TRIGGER refused BEFORE INSERT ON gradewatch.jobs EXECUTE FUNCTION public.refuse()",
    )
    try:
        with pytest.raises(kind, match=said):
            await store.submit([new()])
    finally:
        at_once(url, "DROP FUNCTION public.refuse CASCADE")
    assert len(await store.submit([new()])) == 1
    assert len(await store.jobs()) == 1


async def test_a_large_payload_and_hostile_words_come_back_whole(url: str) -> None:
    payload = {"text": "x\\'\"; DROP TABLE jobs; -- \u0000 \\u0000 %s %(a)s $1 ß" * 60_000}
    async with handle(url, timeout=20.0) as store:
        [job_id] = await store.submit([new(payload=payload, key="'; \\ %s")])
        assert (await get(store, job_id)).payload == payload
