"""Supabase: what `migrate` does without a direct connection and with one, and the SQL that it prints."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from inspect import getsource

import psycopg
import pytest
import supabase_project
from backends import opened
from postgres_server import server
from store_kit import Hands, new
from supabase_project import OWNER, SupabaseProject

from gradewatch.errors import SchemaMismatch, StoreUnavailable
from gradewatch.stores.postgres import PostgresStore
from gradewatch.stores.supabase import SupabaseStore, schema


@pytest.fixture
def fresh() -> Iterator[SupabaseProject]:
    """A project as it is made, without anything of ours."""
    made = SupabaseProject(server(), "supabase_fresh", migrated=False)
    try:
        yield made
    finally:
        made.remove()
        server().sql("DROP DATABASE supabase_fresh WITH (FORCE)")


def store_of(project: SupabaseProject, database_url: str = "") -> SupabaseStore:
    return SupabaseStore(project.url, project.key, database_url=database_url)


async def test_an_empty_project_is_a_mismatch_until_its_sql_was_pasted(fresh: SupabaseProject) -> None:
    store = store_of(fresh)
    for call in (store.open, store.migrate):
        with pytest.raises(SchemaMismatch, match="Could not find the function") as caught:
            await call()
        assert "Paste the output of `gradewatch migrate --print` into the SQL editor" in caught.value.fix
    assert "PostgREST cannot create tables" in str(caught.value)
    assert fresh.gateway.storage.objects() == []
    fresh.sql(store.migration_text())
    await until_noticed(store)
    assert await store.migrate() == ["bucket gradewatch-papers"]
    assert await store.migrate() == []
    assert len(await store.submit([new()])) == 1
    await store.close()


async def until_noticed(store: SupabaseStore) -> None:
    from gradewatch.stores.supabase.migration import noticed

    await noticed(store.open)


async def test_with_a_direct_connection_migrate_does_it_all(fresh: SupabaseProject) -> None:
    store = store_of(fresh, fresh.direct)
    done = await store.migrate()
    assert done[0] == "001_tables"
    assert done[-2:] == ["supabase/api", "bucket gradewatch-papers"]
    assert await store.migrate() == []
    [job] = await store.submit([new()])
    fresh.sql("DROP INDEX gradewatch.jobs_claim; DROP INDEX gradewatch.objects_age")
    assert (await store.check([])).missing_indexes == ("jobs_claim", "objects_age")
    assert (await store.migrate())[0] == "001_tables"
    assert (await store.check([])).missing_indexes == ()
    assert [kept.id for kept in await store.jobs()] == [job], "nothing was lost"
    await store.close()


async def test_a_direct_connection_to_another_database_runs_nothing(fresh: SupabaseProject) -> None:
    server().sql("CREATE DATABASE plain")
    try:
        store = store_of(fresh, server().url("plain"))
        store.client.project.ref = "abcdefgh"
        with pytest.raises(SchemaMismatch, match="not the same project: nothing was run"):
            await store.migrate()
        assert server().sql("SELECT to_regnamespace('gradewatch')", "plain") == [(None,)]
        store.client.project.ref = ""
        store._database_url = fresh.direct.replace("supabase_fresh", "nowhere")
        with pytest.raises(SchemaMismatch, match="no such database"):
            await store.migrate()
        store._database_url = "postgresql://127.0.0.1:1/db"
        with pytest.raises(StoreUnavailable):
            await store.migrate()
        await store.close()
    finally:
        server().sql("DROP DATABASE plain")


def test_the_sql_refuses_what_it_must_not_touch(fresh: SupabaseProject) -> None:
    fresh.sql("CREATE SCHEMA gradewatch CREATE TABLE marks (id int)")
    with pytest.raises(psycopg.errors.RaiseException, match="another application's"):
        fresh.sql(schema.migration_text())
    fresh.sql("DROP SCHEMA gradewatch CASCADE")
    fresh.sql(schema.migration_text())
    fresh.sql("UPDATE gradewatch.meta SET value = '99' WHERE key = 'schema_version'")
    with pytest.raises(psycopg.errors.RaiseException, match="newer version"):
        fresh.sql(schema.migration_text())


def test_the_sql_leaves_a_function_of_somebody_else_alone(fresh: SupabaseProject) -> None:
    mine = "CREATE FUNCTION public.gradewatch_beat(session text, pulse_age float8, busy_slots bigint) RETURNS json"
    fresh.sql(f"{mine} LANGUAGE sql AS $$ SELECT '1'::json $$")
    with pytest.raises(psycopg.errors.DuplicateFunction):
        fresh.sql(schema.migration_text())
    assert fresh.sql("SELECT to_regnamespace('gradewatch')") == [(None,)], "nothing was made by half"


async def test_the_sql_may_be_run_again_and_keeps_what_is_there() -> None:
    project = supabase_project.emptied()
    async with opened(store_of(project)) as store:
        hands = await Hands.open(store)
        [one, two] = await store.submit([new(), new()])
        await hands.claim(1)
        project.sql(schema.migration_text())
        project.sql(supabase_project.STEPPED)
        assert sorted(job.id for job in await store.jobs()) == sorted([one, two])
        stats = await store.stats("default")
        assert (stats.pending, stats.running) == (1, 1)
        assert len(await hands.claim()) == 1


async def test_functions_of_an_earlier_version_go(fresh: SupabaseProject) -> None:
    """Else PostgREST would find two that fit, and choose neither."""
    fresh.sql(
        f"CREATE FUNCTION public.gradewatch_beat(session text, busy_slots bigint) RETURNS json LANGUAGE sql "
        f"AS $$ SELECT '1'::json $$; COMMENT ON FUNCTION public.gradewatch_beat(text, bigint) IS '{schema.MARK}'"
    )
    fresh.sql(schema.migration_text())
    assert fresh.sql("SELECT count(*) FROM pg_proc WHERE proname = 'gradewatch_beat'") == [(1,)]


def test_all_that_is_called_is_shown_and_all_that_is_shown_is_called() -> None:
    from gradewatch.stores.postgres import functions, notes, providers, records, repair
    from gradewatch.stores.supabase import papers, store

    called = {"purge_files"}
    for module in (functions, notes, providers, records, repair, papers, store):
        called |= set(re.findall(r'\.call\(\s*"(\w+)"', getsource(module)))
    assert called - {"purge_files"} == set(schema.CALLED)
    assert set(schema.CALLED.values()) <= set(schema.functions())


def test_every_function_is_the_owners_own_and_looks_nowhere_else() -> None:
    for name, sql in schema.scripts():
        made = re.findall(r"CREATE OR REPLACE FUNCTION gradewatch\.(\S+?)\(.*?\)\s(.*?)AS \$\$", sql, re.DOTALL)
        assert made, name
        for function, rest in made:
            assert "SECURITY DEFINER SET search_path = gradewatch, pg_temp" in rest, function
    assert schema.api().count("SECURITY DEFINER SET search_path = ''") == len(schema.CALLED)


async def test_the_same_queue_is_there_for_a_direct_connection() -> None:
    """So that a watch near the database may go straight to it, while workers elsewhere use the API."""
    project = supabase_project.emptied()
    async with opened(store_of(project)) as store:
        [job] = await store.submit([new()])
        direct = PostgresStore(project.direct)
        await direct.open()
        assert [one.id for one in await direct.jobs()] == [job]
        assert await direct.migrate() == []
        await direct.close()


async def test_exact_depth_can_be_turned_off_and_on_again() -> None:
    """By the line that docs/supabase.md gives, in the SQL editor."""
    project = supabase_project.emptied()
    async with opened(store_of(project)) as store:
        hands = await Hands.open(store)
        await store.submit([new() for _ in range(5)])
        project.sql("SELECT gradewatch.exact_depth(false)")
        try:
            await store.check([])
            await store.submit([new() for _ in range(3)])
            await hands.claim(2)
            stats = await store.stats("default")
            assert (stats.pending, stats.running, stats.depth_exact) == (6, 2, True), "few rows are counted"
            assert stats.enqueued_total == 5, "totals stand still"
        finally:
            project.sql("SELECT gradewatch.exact_depth(true)")
        await store.submit([new()])
        stats = await store.stats("default")
        assert (stats.pending, stats.running, stats.depth_exact) == (7, 2, True)


def test_neither_psycopg_nor_realtime_is_imported_for_it() -> None:
    """A worker pays for what it uses."""
    import subprocess
    import sys

    asked = (
        "import sys; from gradewatch.stores.supabase import SupabaseStore; SupabaseStore('https://x.co', 'k');"
        "print([name for name in sys.modules if name.split('.')[0] in ('psycopg', 'realtime', 'supabase', 'storage3')])"
    )
    said = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, timeout=60, check=True)
    assert ast.literal_eval(said.stdout) == []


def test_the_owner_of_the_tests_is_no_superuser() -> None:
    """As on Supabase: what only a superuser may do must not be in the SQL."""
    project = supabase_project.project()
    assert project.sql("SELECT rolsuper OR rolbypassrls, rolname FROM pg_roles WHERE rolname = current_user") == [
        (False, OWNER)
    ]
