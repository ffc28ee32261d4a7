"""Supabase: the client by itself, against a real PostgREST: deadlines, faults in mid-call, tables, wake-ups."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
import supabase_project
from backends import opened
from postgrest import AsyncPostgrestClient
from store_kit import Hands, get, ids, new
from supabase_gateway import Fault
from supabase_project import SupabaseProject

from gradewatch.errors import AccessDenied, Conflict, PayloadError, SchemaMismatch, StoreUnavailable
from gradewatch.stores.supabase import SupabaseStore
from gradewatch.stores.supabase.client import SupabaseClient

RPC = "/rest/v1/rpc/gradewatch_"


@pytest.fixture
def project() -> SupabaseProject:
    return supabase_project.emptied()


@pytest.fixture
async def store(project: SupabaseProject) -> AsyncIterator[SupabaseStore]:
    async with opened(SupabaseStore(project.url, project.key, timeout=5.0)) as made:
        assert isinstance(made, SupabaseStore)
        yield made


@contextmanager
def by_hand(project: SupabaseProject, statement: str) -> Iterator[None]:
    """A transaction that stays open for the length of the context."""
    with psycopg.connect(project.direct) as hand:
        hand.execute(statement.encode())
        yield
        hand.rollback()


# ---------------------------------------------------------------- one request a call


async def test_each_call_is_one_request(store: SupabaseStore, project: SupabaseProject) -> None:
    hands = await Hands.open(store)
    await store.submit([new() for _ in range(50)])
    project.gateway.counted.clear()
    assert len(await hands.claim(50)) == 50
    await store.beat(hands.session, loop_age=0.0, busy=0)
    await store.check(["default"])
    await store.stats("default")
    asked = dict(project.gateway.counted)
    assert asked == {f"{RPC}claim": 1, f"{RPC}beat": 1, f"{RPC}check": 1, f"{RPC}stats": 1}


async def test_wake_ups_are_asked_for_at_a_measured_pace(store: SupabaseStore, project: SupabaseProject) -> None:
    """Twenty looks a second cost a few requests; after a claim even none for a while."""
    hands = await Hands.open(store)
    asked = f"{RPC}changes"

    async def looks(seconds: float) -> int:
        before, until = project.gateway.counted[asked], time.monotonic() + seconds
        while time.monotonic() < until:
            await store.change_token()
            await asyncio.sleep(0.05)
        return project.gateway.counted[asked] - before

    await hands.claim()
    assert await looks(0.1) == 0
    assert 1 <= await looks(1.0) <= 5
    seen = await store.change_token()
    await store.submit([new()])
    async with asyncio.timeout(10):
        while await store.change_token() == seen:
            await asyncio.sleep(0.02)


# ---------------------------------------------------------------- deadlines


async def test_a_deadline_is_kept_to_the_fraction_of_a_second(project: SupabaseProject) -> None:
    async with opened(SupabaseStore(project.url, project.key, timeout=0.4)) as store:
        project.gateway.fault = Fault(hang=True)
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match=r"no answer within 0\.4 s"):
            await store.stats("default")
        assert 0.3 < time.monotonic() - began < 3
        project.gateway.fault = None
        assert await store.stats("default"), "and the next call is not the worse for it"


async def test_connections_are_bounded_and_waited_for(project: SupabaseProject) -> None:
    store = SupabaseStore(project.url, project.key, timeout=10.0, connections=2)
    await asyncio.gather(*(store.submit([new()]) for _ in range(20)))
    assert len(await store.jobs()) == 20
    await store.close()


async def test_a_lock_that_somebody_holds_is_told_by_the_server(store: SupabaseStore, project: SupabaseProject) -> None:
    began = time.monotonic()
    locked = by_hand(project, "LOCK TABLE gradewatch.jobs")
    with locked, pytest.raises(StoreUnavailable, match="a lock that somebody else holds was waited") as caught:
        await store.submit([new()])
    assert time.monotonic() - began < 5
    assert "pg_stat_activity" in caught.value.fix
    assert await store.jobs() == []


async def test_a_statement_that_takes_too_long(project: SupabaseProject) -> None:
    """Supabase breaks it off itself, after eight seconds by default; here after less."""
    client = SupabaseClient(project.url, project.key)
    project.sql(
        "CREATE OR REPLACE FUNCTION public.nap() RETURNS json LANGUAGE sql AS $$ SELECT to_json(pg_sleep(5)::text) $$"
    )
    project.server.sql("ALTER ROLE service_role SET statement_timeout = '300ms'")
    project.sql("NOTIFY pgrst, 'reload config'; NOTIFY pgrst, 'reload schema'")
    try:
        said = ""
        async with asyncio.timeout(20):
            while "took too long and was broken off" not in said:
                with pytest.raises((SchemaMismatch, StoreUnavailable)) as caught:  # until it has noticed both
                    await client.rpc("nap", {})
                said = str(caught.value)
    finally:
        project.server.sql("ALTER ROLE service_role RESET statement_timeout")
        project.sql("DROP FUNCTION public.nap; NOTIFY pgrst, 'reload config'")
        await client.close()


async def test_a_call_that_is_given_up_leaves_the_store_whole(store: SupabaseStore, project: SupabaseProject) -> None:
    with by_hand(project, "LOCK TABLE gradewatch.jobs"):
        waiting = asyncio.create_task(store.submit([new()]))
        await asyncio.sleep(0.1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert len(await store.submit([new()])) == 1


async def test_a_closed_handle_says_so(project: SupabaseProject) -> None:
    store = SupabaseStore(project.url, project.key)
    await store.open()
    await store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.check([])


async def test_idle_connections_that_were_cut_are_replaced_unnoticed(
    store: SupabaseStore, project: SupabaseProject
) -> None:
    await asyncio.gather(*(store.submit([new()]) for _ in range(4)))
    project.gateway.cut_idle()
    await asyncio.gather(*(store.submit([new()]) for _ in range(4)))
    assert len(await store.jobs()) == 8


# ---------------------------------------------------------------- what is asked for


async def test_hostile_words_come_back_whole(store: SupabaseStore) -> None:
    payload = {"text": "x\\'\"; DROP TABLE jobs; -- \u0000 \\u0000 %s $1 ß \ud800 </script>" * 1000}
    [job_id] = await store.submit([new(payload=payload, key="'; \\ %s \"")])
    assert (await get(store, job_id)).payload == payload


async def test_a_request_larger_than_the_gateway_takes(store: SupabaseStore, project: SupabaseProject) -> None:
    project.gateway.fault = Fault(status=413, body="<html>", content_type="text/html")
    with pytest.raises(PayloadError, match="takes no request of this size"):
        await store.submit([new()])


async def test_a_write_that_the_database_refuses(store: SupabaseStore, project: SupabaseProject) -> None:
    project.sql("ALTER TABLE gradewatch.jobs ADD CONSTRAINT short CHECK (length(kind) < 9) NOT VALID")
    try:
        with pytest.raises(Conflict, match="refused the write"):
            await store.submit([new("a-rather-long-kind")])
    finally:
        project.sql("ALTER TABLE gradewatch.jobs DROP CONSTRAINT short")


# ---------------------------------------------------------------- tables


@pytest.fixture
def marks(project: SupabaseProject) -> Iterator[str]:
    """A table of somebody's application, with row-level security and no policy."""
    project.sql(
        "CREATE TABLE public.marks (id int PRIMARY KEY, note text); ALTER TABLE public.marks ENABLE ROW LEVEL SECURITY;"
        "INSERT INTO public.marks SELECT n, 'note ' || n FROM generate_series(1, 30) AS n;"
        "NOTIFY pgrst, 'reload schema'"
    )
    yield "marks"
    project.sql("DROP TABLE public.marks; NOTIFY pgrst, 'reload schema'")


async def noticed(client: SupabaseClient, request: Any) -> list[dict[str, Any]]:
    async with asyncio.timeout(10):
        while True:
            try:
                return await client.rows(request())
            except SchemaMismatch:
                await asyncio.sleep(0.05)


async def test_rows_and_counts_of_a_table(project: SupabaseProject, marks: str) -> None:
    client = SupabaseClient(project.url, project.key)
    await noticed(client, lambda: client.table(marks).update({"note": "x"}).eq("id", -1))
    assert await client.rows(client.table(marks).select("id").lt("id", 4).order("id")) == [
        {"id": 1},
        {"id": 2},
        {"id": 3},
    ]
    assert await client.count(client.table(marks).select("id", count="exact", head=True)) == 30
    assert await client.rows(client.table(marks).update({"note": "x"}).eq("id", 3).eq("note", "note 3")) == [
        {"id": 3, "note": "x"}
    ]
    assert await client.rows(client.table(marks).update({"note": "y"}).eq("id", 3).eq("note", "note 3")) == []
    with pytest.raises(SchemaMismatch, match="column"):
        await client.rows(client.table(marks).select("no_such"))
    for request in (client.table("no_such").select("*"), client.table("no_such").insert({"id": 1})):
        with pytest.raises(SchemaMismatch, match="no_such"):
            await client.rows(request)
    with pytest.raises(Conflict, match="duplicate key"):
        await client.rows(client.table(marks).insert({"id": 3}))
    await client.close()


@pytest.mark.parametrize(
    "fault", [Fault(body="<html>", content_type="text/html"), Fault(body='{"rows": []}'), Fault(status=503, body="{}")]
)
async def test_what_is_no_list_of_rows_is_an_error_and_asked_for_once(project: SupabaseProject, fault: Fault) -> None:
    """supabase-py alone would repeat a read at 503, three times in seven seconds."""
    client = SupabaseClient(project.url, project.key)
    project.gateway.fault = fault
    with pytest.raises(StoreUnavailable):
        await client.rows(client.table("marks").select("*"))
    assert project.gateway.counted == {"/rest/v1/marks": 1}
    await client.close()


async def test_a_key_that_would_see_no_rows_is_not_asked_with(project: SupabaseProject, marks: str) -> None:
    """What it would see is what the wrong role sees: nothing, and no error."""
    seen = SupabaseClient(project.url, project.key)
    assert len(await noticed(seen, lambda: seen.table(marks).select("*"))) == 30
    wrong = AsyncPostgrestClient(f"{project.url}/rest/v1", headers={"apikey": project.anon})
    assert (await wrong.table(marks).select("*").execute()).data == []
    await wrong.aclose()
    client = SupabaseClient(project.url, project.anon)
    with pytest.raises(AccessDenied):
        await client.rows(client.table(marks).select("*"))
    await client.close()
    await seen.close()


# ---------------------------------------------------------------- PostgREST killed


async def test_postgrest_killed_in_mid_claim_loses_no_job(project: SupabaseProject) -> None:
    """SIGKILL while claims and finishes are under way; it comes back, and every job is finished exactly once."""
    async with opened(SupabaseStore(project.url, project.key, timeout=3.0)) as store:
        submitted = await store.submit([new(max_attempts=100) for _ in range(120)])
        acknowledged: list[str] = []
        outages: list[str] = []
        back = asyncio.Event()

        async def work() -> None:
            while True:
                try:
                    hands = await Hands.open(store)
                    while jobs := await hands.claim(2):
                        for job in jobs:
                            if await hands.finish(job):
                                acknowledged.append(job.id)
                    if back.is_set():
                        return
                except (StoreUnavailable, Conflict) as error:
                    outages.append(str(error))
                    await asyncio.sleep(0.02)

        async def crash() -> None:
            while len(acknowledged) < 30:
                await asyncio.sleep(0.001)
            await asyncio.to_thread(project.rest.kill)
            with pytest.raises(StoreUnavailable):
                await store.check([])
            await asyncio.to_thread(project.rest.start)
            back.set()

        async with asyncio.timeout(40):
            await asyncio.gather(crash(), work(), work())
        assert outages, "the workers noticed"
        assert project.key not in "".join(outages)
        assert len(set(acknowledged)) == len(acknowledged), "none was finished twice"
        jobs = {job.id: job.state.value for job in await store.jobs(limit=1000)}
        assert sorted(jobs) == sorted(submitted)
        assert {jobs[job] for job in acknowledged} == {"succeeded"}
        held = ids(await store.held("default", [s.id for s in await store.sessions()], kinds=None, limit=100))  # type: ignore[arg-type]
        assert {state for job, state in jobs.items() if job not in held} == {"succeeded"}, "the watch finds the rest"
