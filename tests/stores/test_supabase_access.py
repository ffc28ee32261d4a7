"""Supabase: every way of not getting at the queue is told apart, each as its finding with the fix in words. None looks
like an empty queue, none leads to a repair, and no key is in any word of it."""

from __future__ import annotations

import pytest
import supabase_project
from backends import opened
from store_kit import Hands, get, new
from supabase_project import PUBLISHABLE, SECRET, SupabaseProject, token
from supabase_troubles import AWAY, CASES, DENIED, MISMATCH, Case

from gradewatch import app
from gradewatch.config import Settings, StoreSettings
from gradewatch.cycle import CycleReport
from gradewatch.errors import AccessDenied, ConfigError, SchemaMismatch
from gradewatch.model import JobState, Severity, Unknown
from gradewatch.stores.supabase import SupabaseStore, keys

LATE = "UPDATE gradewatch.jobs SET run_at = now() - interval '1 day', created_at = now() - interval '1 day'"


@pytest.fixture
def project() -> SupabaseProject:
    return supabase_project.emptied()


def settings(url: str, timeout: float = 2.0) -> Settings:
    return Settings(store=StoreSettings(url, timeout))


async def cycle(project: SupabaseProject, case: Case, monkeypatch: pytest.MonkeyPatch) -> CycleReport:
    """One cycle that may act, as `gradewatch watch --once` runs it."""
    key = project.key if case.key is None else case.key
    monkeypatch.setenv(keys.VARIABLE, key)
    with case.arrange(project) as url:
        timeout = 1.0 if case.arrange.__qualname__.startswith("fault") else 5.0
        return await app.once(settings(url or project.url, timeout), environ={})


@pytest.mark.parametrize("name", CASES)
async def test_each_is_its_finding_and_repairs_nothing(
    project: SupabaseProject, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[name]
    async with opened(SupabaseStore(project.url, project.key)) as store:
        [late] = await store.submit([new()])
        project.sql(LATE)
        report = await cycle(project, case, monkeypatch)

        [finding] = [f for f in report.diagnosis.findings if f.code is case.code]
        assert case.said in " ".join(finding.evidence)
        assert case.fix in finding.fix
        assert finding.severity is Severity.CRITICAL
        others = {f.code for f in report.diagnosis.findings} & {DENIED, MISMATCH, AWAY}
        assert others == {case.code}, "and not mistaken for another"
        assert isinstance(report.snapshot.store, Unknown)
        assert all(isinstance(reading, Unknown) for reading in report.snapshot.queues.values())
        words = f"{finding} {report.snapshot}"
        for secret in (case.key, project.key, SECRET, "eyJ0eXAi"):
            assert not secret or secret not in words
        assert report.results == ()
        assert (await get(store, late)).state is JobState.PENDING
        assert await store.audit() == []


async def test_without_any_of_it_the_late_job_is_failed(
    project: SupabaseProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the test above would say nothing."""
    async with opened(SupabaseStore(project.url, project.key)) as store:
        [late] = await store.submit([new()])
        project.sql(LATE)
        report = await cycle(project, Case(AWAY, "", "", key=SECRET), monkeypatch)
        assert [result.action.subject for result in report.results] == [late]
        assert (await get(store, late)).state is JobState.FAILED


@pytest.mark.parametrize("key", ["", token("anon"), PUBLISHABLE])
async def test_a_wrong_key_is_never_sent(project: SupabaseProject, key: str) -> None:
    store = SupabaseStore(project.url, key)
    for call in (
        store.open,
        lambda: store.check([]),
        lambda: store.claim("s", ["default"], ["grade"], 1),
        store.migrate,
    ):
        with pytest.raises(AccessDenied, match="would not mean an empty queue"):
            await call()
    await store.close()
    assert not project.gateway.counted


@pytest.mark.parametrize("key", ["the secret key", "the service_role key"])
async def test_the_right_keys_are_let_in(project: SupabaseProject, key: str) -> None:
    async with opened(SupabaseStore(project.url, SECRET if key == "the secret key" else project.key)) as store:
        assert len(await store.submit([new()])) == 1


@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role"])
async def test_no_role_of_the_api_reaches_a_table(project: SupabaseProject, role: str) -> None:
    hand = f"SET ROLE {role}; "
    url = project.server.url(project.database, user="authenticator", password="authenticator")
    for name in ("jobs", "objects", "meta"):
        assert "permission denied for schema" in refusal(url, f"{hand} SELECT FROM gradewatch.{name}")
    assert "permission denied for schema" in refusal(url, f"{hand} SELECT gradewatch.list_sessions()")
    outside = refusal(url, f"{hand} SELECT public.gradewatch_list_sessions()")
    assert outside == "" if role == "service_role" else "permission denied for function" in outside


def refusal(url: str, statement: str) -> str:
    import psycopg

    with psycopg.connect(url) as hand:
        try:
            hand.execute(statement.encode())
        except psycopg.errors.InsufficientPrivilege as error:
            return str(error)
    return ""


def test_row_level_security_is_on_for_every_table(project: SupabaseProject) -> None:
    tables = project.sql(
        "SELECT relname, relrowsecurity FROM pg_class WHERE relnamespace = 'gradewatch'::regnamespace AND relkind = 'r'"
    )
    assert len(tables) > 15
    assert all(on for _, on in tables)
    assert project.sql("SELECT FROM pg_policies WHERE schemaname = 'gradewatch'") == []


async def test_a_worker_that_sees_nothing_is_not_told_that_there_is_nothing(project: SupabaseProject) -> None:
    """Rows hidden from it make its claims empty; the check of the watch is what tells."""
    async with opened(SupabaseStore(project.url, project.key)) as store:
        hands = await Hands.open(store)
        await store.submit([new()])
        project.sql("ALTER TABLE gradewatch.jobs FORCE ROW LEVEL SECURITY")
        try:
            assert await hands.claim() == []
            with pytest.raises(AccessDenied, match="hides the rows of jobs"):
                await store.check(["default"])
        finally:
            project.sql("ALTER TABLE gradewatch.jobs NO FORCE ROW LEVEL SECURITY")
        assert len(await hands.claim()) == 1


# ---------------------------------------------------------------- before anything is opened


def test_no_key_is_told_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUPABASE_SERVICE_ROLE_KEY", raising=False)
    monkeypatch.setenv("SUPABASE_ANON_KEY", token("anon"))
    with pytest.raises(ConfigError) as caught:
        app.make_store(settings("https://ref.supabase.co"))
    assert "SUPABASE_SERVICE_ROLE_KEY is not set; SUPABASE_ANON_KEY is" in str(caught.value)
    assert "eyJ" not in str(caught.value)
    assert "CREATE SCHEMA" in app.make_store(settings("https://ref.supabase.co"), to_open=False).migration_text()


async def test_an_empty_project_says_what_to_paste_where() -> None:
    made = SupabaseStore("https://abcdefgh.supabase.co", "sb_secret_x")
    error = made.client.faults.misfit("it lacks everything")
    assert isinstance(error, SchemaMismatch)
    assert "https://supabase.com/dashboard/project/abcdefgh/sql/new" in error.fix
    assert "DATABASE_URL" in error.fix
