"""Supabase: every way of not getting at the queue is told apart, each as its finding with the fix in words. None looks
like an empty queue, none leads to a repair, and no key is in any word of it."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import pytest
import supabase_project
from backends import opened
from store_kit import Hands, get, new
from supabase_gateway import Fault
from supabase_project import PUBLISHABLE, SECRET, SupabaseProject, token

from gradewatch import app
from gradewatch.config import Settings, StoreSettings
from gradewatch.cycle import CycleReport
from gradewatch.errors import AccessDenied, ConfigError, SchemaMismatch
from gradewatch.model import Code, JobState, Severity, Unknown
from gradewatch.stores.supabase import SupabaseStore, keys, schema

HTML = "<html><head><title>{}</title></head><body>sorry</body></html>"
LATE = "UPDATE gradewatch.jobs SET run_at = now() - interval '1 day', created_at = now() - interval '1 day'"


@pytest.fixture
def project() -> SupabaseProject:
    return supabase_project.emptied()


def settings(url: str, timeout: float = 2.0) -> Settings:
    return Settings(store=StoreSettings(url, timeout))


Arrange = Callable[[SupabaseProject], AbstractContextManager[str | None]]


@contextmanager
def nothing(project: SupabaseProject) -> Iterator[str | None]:
    yield None


def fault(**how: object) -> Arrange:
    @contextmanager
    def arrange(project: SupabaseProject) -> Iterator[str | None]:
        project.gateway.fault = Fault(**how)  # type: ignore[arg-type]
        yield None
        project.gateway.fault = None

    return arrange


def sql(done: str, undone: str = "") -> Arrange:
    """Something done to the schema, and undone; without an undoing the script is run again."""

    @contextmanager
    def arrange(project: SupabaseProject) -> Iterator[str | None]:
        project.sql(done)
        try:
            yield None
        finally:
            project.sql(undone or schema.migration_text())
            project.sql(supabase_project.STEPPED)

    return arrange


def known_key(key: str) -> Arrange:
    """The gateway lets this key in, as far as PostgREST."""

    @contextmanager
    def arrange(project: SupabaseProject) -> Iterator[str | None]:
        project.gateway.keys[key] = key
        yield None
        del project.gateway.keys[key]

    return arrange


@contextmanager
def elsewhere(project: SupabaseProject) -> Iterator[str | None]:
    """Nobody listens there."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{reserved.getsockname()[1]}"


@contextmanager
def no_such_name(project: SupabaseProject) -> Iterator[str | None]:
    yield "https://no-such-project.invalid"


@contextmanager
def not_encrypted(project: SupabaseProject) -> Iterator[str | None]:
    yield project.url.replace("http:", "https:")


@contextmanager
def postgrest_gone(project: SupabaseProject) -> Iterator[str | None]:
    project.rest.kill()
    yield None
    project.rest.start()


@contextmanager
def echoing(project: SupabaseProject) -> Iterator[str | None]:
    """A gateway that says which key it does not like."""
    project.gateway.fault = Fault(status=401, body=f'{{"message": "unknown key {project.key}"}}')
    yield None
    project.gateway.fault = None


@dataclass(frozen=True)
class Case:
    code: Code
    said: str
    fix: str
    arrange: Arrange = nothing
    key: str | None = None


DENIED, MISMATCH, AWAY = Code.STORE_ACCESS_DENIED, Code.STORE_SCHEMA_MISMATCH, Code.STORE_UNREACHABLE
EXPIRED, FORGED = token("service_role", expires=time.time() - 60), token("service_role")[:-8] + "AAAAAAAA"
COPY = "settings/api-keys"
CASES = {
    "anon key": Case(DENIED, "holds the anon key", COPY, key=token("anon")),
    "publishable key": Case(DENIED, "holds a publishable key", COPY, key=PUBLISHABLE),
    "another role": Case(DENIED, "a token of the role 'authenticated'", COPY, key=token("authenticated")),
    "management token": Case(DENIED, "personal access token", COPY, key="sbp_0123456789abcdef"),
    "half a key": Case(DENIED, "cut short", COPY, key="eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3Mi"),
    "pasted with a line break": Case(DENIED, "pasted along with it", COPY, key="sb_secret_a\nb"),
    "revoked key": Case(DENIED, "does not know the key", COPY, key="sb_secret_revoked"),
    "revoked key, repeated": Case(DENIED, "unknown key (hidden)", COPY, echoing),
    "expired token": Case(DENIED, "has expired", COPY, known_key(EXPIRED), key=EXPIRED),
    "token of another project": Case(DENIED, "of another project", COPY, known_key(FORGED), key=FORGED),
    "right revoked": Case(
        DENIED,
        "permission denied for function gradewatch_",
        "run the SQL of `gradewatch migrate --print` again",
        sql("REVOKE EXECUTE ON FUNCTION public.gradewatch_acquire(text, text, bigint) FROM service_role"),
    ),
    "rows hidden": Case(
        DENIED,
        "row-level security hides the rows of jobs, sessions",
        "NO FORCE ROW LEVEL SECURITY",
        sql(
            "ALTER TABLE gradewatch.jobs FORCE ROW LEVEL SECURITY; "
            "ALTER TABLE gradewatch.sessions FORCE ROW LEVEL SECURITY",
            "ALTER TABLE gradewatch.jobs NO FORCE ROW LEVEL SECURITY; "
            "ALTER TABLE gradewatch.sessions NO FORCE ROW LEVEL SECURITY",
        ),
    ),
    "even the version hidden": Case(
        DENIED,
        "row-level security hides the rows of meta",
        "NO FORCE ROW LEVEL SECURITY",
        sql(
            "ALTER TABLE gradewatch.meta FORCE ROW LEVEL SECURITY",
            "ALTER TABLE gradewatch.meta NO FORCE ROW LEVEL SECURITY",
        ),
    ),
    "missing table": Case(
        MISMATCH,
        "somebody dropped or renamed credits.end_at, credits.kind, credits.start_at",
        "sql/new",
        sql("DROP TABLE gradewatch.credits CASCADE"),
    ),
    "missing column": Case(
        MISMATCH,
        "somebody dropped or renamed sessions.slots",
        "sql/new",
        sql(
            "ALTER TABLE gradewatch.sessions RENAME COLUMN slots TO places",
            "ALTER TABLE gradewatch.sessions RENAME COLUMN places TO slots",
        ),
    ),
    "missing function": Case(
        MISMATCH,
        "public.gradewatch_check(",
        "sql/new",
        sql("DROP FUNCTION public.gradewatch_check"),
    ),
    "missing function that is called later": Case(
        MISMATCH,
        "somebody dropped or renamed function public.gradewatch_list_sessions()",
        "sql/new",
        sql("DROP FUNCTION public.gradewatch_list_sessions"),
    ),
    "missing function of the schema": Case(
        MISMATCH,
        "somebody dropped or renamed function list_sessions()",
        "sql/new",
        sql("DROP FUNCTION gradewatch.list_sessions"),
    ),
    "older schema": Case(
        MISMATCH, "has schema 1, this version needs", "sql/new",
        sql("UPDATE gradewatch.meta SET value = '1' WHERE key = 'schema_version'"),
    ),
    "functions of another version": Case(
        MISMATCH, "of another version", "sql/new",
        sql("UPDATE gradewatch.meta SET value = 'x' WHERE key = 'supabase_api'"),
    ),
    "paused": Case(AWAY, "the project is paused", "Restore it", fault(status=540, body='{"message":"Project paused"}')),
    "paused, as a page": Case(
        AWAY, "the project is paused", "Restore it", fault(status=540, body=HTML, content_type="text/html")
    ),
    "over quota": Case(AWAY, "plan does not allow", "usage", fault(status=402, body='{"message":"egress"}')),
    "too many requests": Case(AWAY, "no more requests", "worker.poll", fault(status=429, body="{}")),
    "server error": Case(AWAY, "failed with status 500", "Try again", fault(status=500, body='{"message":"oh"}')),
    "bad gateway": Case(
        AWAY,
        "(status 502, titled 'Bad gateway')",
        "status.supabase.com",
        fault(status=502, body=HTML.format("Bad gateway"), content_type="text/html"),
    ),
    "gateway without its upstream": Case(AWAY, "failed with status 503", "goes on by itself", postgrest_gone),
    "page in place of the API": Case(
        AWAY,
        "a web page answered in place of its API (status 200, titled 'Sign in')",
        "SUPABASE_URL",
        fault(body=HTML.format("Sign in"), content_type="text/html"),
    ),
    "a page that calls itself JSON": Case(AWAY, "in place of its API", "SUPABASE_URL", fault(body=HTML)),
    "other JSON": Case(AWAY, "in place of its API", "SUPABASE_URL", fault(body="[]")),
    "no rows": Case(AWAY, "in place of its API", "SUPABASE_URL", fault(body='{"answer": "[]", "more": 1}')),
    "JSON that is none": Case(AWAY, "in place of its API", "SUPABASE_URL", fault(body=b'{"answer": "\xff"}')),
    "JSON without an end": Case(AWAY, "in place of its API", "SUPABASE_URL", fault(body="[" * 300_000)),
    "moved": Case(AWAY, "in place of its API (status 301", "SUPABASE_URL", fault(status=301)),
    "no such path": Case(AWAY, "in place of its API (status 404", "SUPABASE_URL", fault(status=404, body="{}")),
    "no answer": Case(AWAY, "no answer within 1.0 s", "store.timeout", fault(hang=True)),
    "cut": Case(AWAY, "the connection broke", "network", fault(cut=True)),
    "refused": Case(AWAY, "the connection was refused", "supabase start", elsewhere),
    "no such name": Case(AWAY, "cannot be resolved", "typing error", no_such_name),
    "no encryption": Case(AWAY, "breaks the encryption", "certificates", not_encrypted),
}  # fmt: skip


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
