"""A folder with a store, real servers over it, and ways to wait for what they do."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from gradewatch.model import NewJob, Session
from gradewatch.ports import Store
from gradewatch.stores.sqlite import SqliteStore
from gradewatch.worker.payload import build_payload
from gradewatch.worker.rubric import Rubric

T = TypeVar("T")

EXAM = Path(__file__).parents[2] / "examples" / "exam"
TYPED = tuple(sorted(EXAM.glob("papers/*.pdf")))[:10]
DEADLINE = 60.0

SETTINGS: Mapping[str, str] = {
    "STORE__TIMEOUT": "2s",
    "TIMEOUTS__HEARTBEAT": "3s",
    "EMBED__LEASE": "1500ms",
    "WATCH__INTERVAL": "500ms",
    "HTTP__PORT": "0",
    "WORKER__POLL": "200ms",
    "WORKER__SLOTS": "1",
    "LOG__FORMAT": "json",
}


async def until(condition: Callable[[], T | Awaitable[T]], what: str, seconds: float = DEADLINE) -> T:
    """Wait for a condition, sync or async, to become true; returns what it gave."""
    end = time.monotonic() + seconds
    while True:
        value: Any = condition()
        if isinstance(value, Awaitable):
            value = await value
        if value:
            return value
        assert time.monotonic() < end, f"{what} did not come about within {seconds} s"
        await asyncio.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def fetched(url: str, accept: str = "", timeout: float = 20.0) -> tuple[int, str]:
    """Status and body of a GET on a connection of its own; status 0 where nobody listens."""
    request = urllib.request.Request(url, headers={"Accept": accept, "Connection": "close"})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read().decode()
    except (urllib.error.URLError, ConnectionError):
        return 0, ""


class Server:
    """One server process, with its workers in a process group of their own."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process, self.log = process, log
        self.url = f"http://127.0.0.1:{port}"

    def get(self, path: str, accept: str = "") -> tuple[int, str]:
        return fetched(self.url + path, accept)

    def status(self, prefix: str = "") -> tuple[int, dict[str, Any]]:
        code, body = self.get(f"{prefix}/api/worker_status")
        return code, json.loads(body) if body else {}

    async def serves(self, path: str) -> None:
        async def answers() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            return (await asyncio.to_thread(self.get, path))[0] != 0

        await until(answers, f"an answer to {path}")

    def tell(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self, seconds: float = DEADLINE) -> int:
        return await asyncio.to_thread(self.process.wait, seconds)

    def clear(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)


class Place:
    """The scene of one test, over SQLite in its folder or over another store."""

    def __init__(self, folder: Path, url: str = "", store: Store | None = None) -> None:
        self.folder = folder
        self.database = folder / "gradewatch.db"
        self.notes = folder / "notes"
        self.notes.touch()
        own = {name: value for name, value in os.environ.items() if not name.startswith("GRADEWATCH_")}
        self.environ = own | {f"GRADEWATCH_{name}": value for name, value in SETTINGS.items()}
        self.environ |= {
            "GRADEWATCH_STORE__URL": url or f"sqlite:///{self.database}",
            "NOTES": str(self.notes),
            "PYTHONPATH": str(Path(__file__).parent),
        }
        self.servers: list[Server] = []
        self.store: Store = store or SqliteStore(self.database, timeout=10.0)

    async def open(self) -> None:
        await self.store.migrate()
        await self.store.open()

    async def clear(self) -> None:
        for server in self.servers:
            server.clear()
        await self.store.close()
        for server in self.servers:
            print(f"---- {server.log.name}\n{server.log.read_text()}")

    def start(self, *command: str, port: int = 0, **environ: str) -> Server:
        log = self.folder / f"server-{len(self.servers)}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=self.folder,
                env=self.environ | environ,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self.servers.append(Server(process, port, log))
        return self.servers[-1]

    def uvicorn(self, app: str, workers: int = 1, **environ: str) -> Server:
        port = free_port()
        more = ["--workers", str(workers)] if workers > 1 else []
        command = ["uvicorn", f"apps.fast:{app}", "--factory", "--port", str(port), "--log-level", "warning", *more]
        return self.start(*command, port=port, **environ)

    def gunicorn(self, workers: int = 2, *more: str, **environ: str) -> Server:
        port = free_port()
        command = ["gunicorn", "apps.flasky:app", "-b", f"127.0.0.1:{port}", "-w", str(workers), *more]
        return self.start(*command, port=port, **environ)

    def noted(self, word: str) -> list[int]:
        """The pids that noted that word, in order."""
        lines = [line.partition(" ") for line in self.notes.read_text().splitlines()]
        return [int(pid) for pid, _, said in lines if said == word]

    async def sessions(self) -> list[Session]:
        return await self.store.sessions()

    async def beating(self, count: int = 1) -> list[Session]:
        """Wait for exactly so many open sessions, each of which has beaten."""

        async def there() -> list[Session]:
            live = [s for s in await self.sessions() if s.ended_at is None]
            return live if len(live) == count and all(s.beats > 0 for s in live) else []

        return await until(there, f"{count} beating sessions")

    async def submit(self, papers: int = 2, jobs: int = 1, **changes: Any) -> list[str]:
        refs = [await self.store.put(path, path.name) for path in (TYPED * 20)[:papers]]
        payload = build_payload(refs, Rubric.parse((EXAM / "rubric.yaml").read_bytes()))
        job = NewJob(**({"kind": "grade", "payload": payload, "progress_total": papers} | changes))
        return await self.store.submit([job] * jobs)
