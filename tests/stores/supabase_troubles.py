"""Every way of not getting at a queue in a Supabase project: how it comes about, and what must be said of it."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import supabase_project
from supabase_gateway import Fault
from supabase_project import PUBLISHABLE, SupabaseProject, token

from gradewatch.model import Code
from gradewatch.stores.supabase import schema

HTML = "<html><head><title>{}</title></head><body>sorry</body></html>"

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
