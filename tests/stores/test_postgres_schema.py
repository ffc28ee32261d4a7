"""PostgreSQL: making the schema, knowing a wrong one, and plans that do not grow with the rows."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import postgres_server
import psycopg
import pytest
from backends import opened
from store_kit import Hands, new

from gradewatch.errors import SchemaMismatch
from gradewatch.stores.postgres import PostgresStore, schema


@pytest.fixture
def url() -> Iterator[str]:
    """A database of its own, empty."""
    server = postgres_server.server()
    server.sql("CREATE DATABASE fresh")
    yield server.url("fresh")
    server.sql("DROP DATABASE fresh WITH (FORCE)")


def by_hand(url: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as hand:
        cursor = hand.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


async def refusal(url: str) -> str:
    store = PostgresStore(url)
    with pytest.raises(SchemaMismatch) as caught:
        await store.open()
    await store.close()
    return str(caught.value)


async def test_an_empty_database_is_not_changed_by_open(url: str) -> None:
    assert "gradewatch migrate" in await refusal(url)
    assert by_hand(url, "SELECT to_regnamespace('gradewatch')") == [(None,)]


async def test_a_database_that_is_not_there() -> None:
    assert "no such database: create it" in await refusal(postgres_server.server().url("nowhere"))


async def test_several_processes_may_migrate_at_once(url: str) -> None:
    stores = [PostgresStore(url) for _ in range(4)]
    done = await asyncio.gather(*(store.migrate() for store in stores))
    everything = [name for name, _ in schema.scripts()]
    assert sorted(done) == [[], [], [], everything]
    for store in stores:
        await store.open()
        await store.close()


async def test_the_printed_script_may_be_run_again_and_keeps_what_is_there(url: str) -> None:
    by_hand(url, schema.migration_text())
    async with opened(PostgresStore(url)) as store:
        [job_id] = await store.submit([new()])
        by_hand(url, schema.migration_text())
        assert await store.migrate() == []
        assert [job.id for job in await store.jobs()] == [job_id]
        assert (await store.stats("default")).pending == 1


@pytest.mark.parametrize(("found", "said"), [("0", "gradewatch migrate"), ("99", "update gradewatch")])
async def test_an_older_or_newer_schema(url: str, found: str, said: str) -> None:
    async with opened(PostgresStore(url)) as store:
        by_hand(url, f"UPDATE gradewatch.meta SET value = '{found}' WHERE key = 'schema_version'")
        with pytest.raises(SchemaMismatch, match=said):
            await store.check([])
        assert said in await refusal(url)
        if found == "0":
            assert await store.migrate() == [name for name, _ in schema.scripts()]
            await store.check([])
        else:
            with pytest.raises(SchemaMismatch, match=said):
                await store.migrate()


async def test_an_older_schema_gets_what_it_lacks(url: str) -> None:
    async with opened(PostgresStore(url)) as store:
        hands = await Hands.open(store)
        [job_id] = await store.submit([new()])
        for known in range(1, len(schema.scripts())):
            by_hand(url, "DROP FUNCTION IF EXISTS gradewatch.finish")
            by_hand(url, f"UPDATE gradewatch.meta SET value = '{known}' WHERE key = 'schema_version'")
            assert await store.migrate() == [name for name, _ in schema.scripts()[known:]]
        [job] = await hands.claim(1)
        assert job.id == job_id
        assert await hands.finish(job)


async def test_a_dropped_index_or_trigger_is_reported_and_migrate_makes_it_again(url: str) -> None:
    async with opened(PostgresStore(url)) as store:
        by_hand(url, "DROP INDEX gradewatch.jobs_claim")
        assert (await store.check([])).missing_indexes == ("jobs_claim",)
        by_hand(url, "DROP TRIGGER jobs_counted_over ON gradewatch.jobs")
        with pytest.raises(SchemaMismatch, match="jobs_counted_over"):
            await store.check([])
        assert await store.migrate() == ["again jobs_claim", "again jobs_counted_over"]
        assert (await store.check([])).missing_indexes == ()


async def test_an_index_that_is_there_but_not_usable_counts_as_missing(url: str) -> None:
    """As a CREATE INDEX CONCURRENTLY leaves it that failed half way."""
    async with opened(PostgresStore(url)) as store:
        by_hand(url, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'gradewatch.jobs_waiting'::regclass")
        assert (await store.check([])).missing_indexes == ("jobs_waiting",)
        assert await store.migrate() == ["again jobs_waiting"]
        assert (await store.check([])).missing_indexes == ()


async def test_what_earlier_schemas_had_and_nothing_uses_goes_with_an_upgrade(url: str) -> None:
    async with opened(PostgresStore(url)) as store:
        by_hand(url, "CREATE INDEX jobs_finished ON gradewatch.jobs (finished_at)")
        by_hand(url, "UPDATE gradewatch.meta SET value = '14' WHERE key = 'schema_version'")
        assert await store.migrate() == ["015_fewer_parts"]
        assert by_hand(url, "SELECT to_regclass('gradewatch.jobs_finished')") == [(None,)]


async def test_a_dropped_table_or_function_is_a_mismatch(url: str) -> None:
    async with opened(PostgresStore(url)) as store:
        by_hand(url, "DROP FUNCTION gradewatch.list_sessions; DROP TABLE gradewatch.credits")
        for call in (store.sessions, lambda: store.control({})):
            with pytest.raises(SchemaMismatch, match=r"lacks what this version needs .*gradewatch migrate"):
                await call()


async def test_another_applications_schema_is_left_alone(url: str) -> None:
    by_hand(url, "CREATE SCHEMA gradewatch CREATE TABLE marks (id int)")
    store = PostgresStore(url)
    with pytest.raises(SchemaMismatch, match="another application, with marks"):
        await store.migrate()
    await store.close()
    assert by_hand(url, "SELECT relname FROM pg_class WHERE relnamespace = 'gradewatch'::regnamespace") == [("marks",)]


def test_every_function_is_the_owners_own_and_looks_nowhere_else() -> None:
    """SECURITY DEFINER with another's search_path would run another's code."""
    text = "\n".join(sql for _, sql in schema.scripts())
    for name, rest in re.findall(
        r"CREATE OR REPLACE FUNCTION gradewatch\.(\S+?)\(.*?\)\s(.*?)AS \$\$", text, re.DOTALL
    ):
        assert "SECURITY DEFINER" not in rest or "SET search_path = gradewatch, pg_temp" in rest, name
    assert text.count("SECURITY DEFINER") > 30


@pytest.mark.parametrize("parameter", ["pgbouncer=true", "schema=public&connection_limit=1", "application_name=mine"])
async def test_urls_as_other_tools_write_them(url: str, parameter: str) -> None:
    async with opened(PostgresStore(url.replace("postgresql:", "postgresql+asyncpg:") + f"?{parameter}")) as store:
        await store.check([])


@pytest.mark.parametrize("wrong", ["postgresql://u:secret@h:port/db", "postgresql://u:secret@h/db?no_such=1"])
def test_a_url_that_cannot_be_read_is_refused_without_being_shown(wrong: str) -> None:
    with pytest.raises(ValueError, match="not a PostgreSQL URL") as caught:
        PostgresStore(wrong)
    assert "secret" not in str(caught.value)


# ---------------------------------------------------------------- plans

FILL = """
INSERT INTO gradewatch.jobs (id, queue, kind, state, max_attempts, created_at, run_at, started_at, finished_at,
                             updated_at, session_id, payload)
SELECT gradewatch.make_id(), 'default', 'grade', state, 3, now(), now(), CASE WHEN state <> 'pending' THEN now() END,
       CASE WHEN state = 'succeeded' THEN now() END, now(), 's', '{}'
FROM generate_series(1, 20000) AS n,
     LATERAL (SELECT CASE n % 10 WHEN 0 THEN 'pending' WHEN 1 THEN 'running' ELSE 'succeeded' END) AS s (state)
"""
QUESTIONS = {
    "claim": "claim('SESSION', '{default,other}', '{grade}', 5)",
    "stats": "stats('default')",
    "overdue pending": "overdue('default', 'pending', 0, '{grade}', 5)",
    "overdue running": "overdue('default', 'running', 0, NULL, 5)",
    "held": "held('default', '{s}', '{grade}', 5)",
    "newest": "list_jobs(NULL, NULL, 5, NULL)",
    "newest of a queue": "list_jobs('default', NULL, 5, NULL)",
    "newest of a state": "list_jobs(NULL, 'failed', 5, NULL)",
    "one": "get_job('x')",
    "purge": "purge('jobs', 0, 5)",
    "changes": "changes()",
    "finish": """finish('[{"id": "x", "token": 1, "kind": "succeed"}, {"id": "y", "token": 1, "kind": "retry"}]')""",
}


@pytest.mark.parametrize("statistics", ["none", "of the empty table", "fresh"])
async def test_no_question_reads_the_table_whole(url: str, statistics: str) -> None:
    """However wrong the planner's statistics are: a queue fills within seconds, and they are made every minute."""
    async with opened(PostgresStore(url)) as store:
        hands = await Hands.open(store)
        by_hand(url, "ALTER TABLE gradewatch.jobs SET (autovacuum_enabled = off)")
        if statistics == "of the empty table":
            by_hand(url, "ANALYZE gradewatch.jobs")
        by_hand(url, FILL)
        if statistics == "fresh":
            by_hand(url, "ANALYZE gradewatch.jobs")
        with psycopg.connect(url, autocommit=True) as hand:
            # Each runs often enough for its plan to become a generic one.
            for name, question in QUESTIONS.items():
                call = f"SELECT gradewatch.{question.replace('SESSION', hands.session)}"
                for _ in range(7):
                    before = read(hand)
                    hand.execute(call.encode())
                    seen = read(hand) - before
                assert seen < 500, (name, seen)


def read(hand: psycopg.Connection[Any]) -> int:
    """How many rows of jobs this database has read in order or by index, so far."""
    hand.execute("SELECT pg_stat_force_next_flush()")
    hand.execute("SELECT 1")  # what is counted is told at the end of a statement
    row = hand.execute(
        "SELECT pg_stat_clear_snapshot()::text, seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables "
        "WHERE relid = 'gradewatch.jobs'::regclass"
    ).fetchone()
    assert row is not None
    return int(row[1])


def test_the_script_is_whole() -> None:
    """Every function that the store calls is one that the script makes."""
    from inspect import getsource

    from gradewatch.stores.postgres import functions, notes, papers, providers, records, repair, store

    source = "".join(getsource(module) for module in (functions, notes, papers, providers, records, repair, store))
    called = set(re.findall(r'\.call\(\s*"(\w+)"', source))
    made = set(re.findall(r'CREATE OR REPLACE FUNCTION gradewatch\."?(\w+)', schema.migration_text()))
    assert called <= made
    assert {"claim", "claim_job", "repair", "note_repairs"} <= called
