"""A small world to measure in: a fresh SQLite file with settings, the real commands as processes, grading jobs."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil

from gradewatch.model import NewJob, PaperRef, Session
from gradewatch.stores.sqlite import SqliteStore
from gradewatch.worker.payload import GRADE, build_payload
from gradewatch.worker.rubric import Rubric

T = TypeVar("T")

ROOT = Path(__file__).resolve().parent.parent
EXAM = ROOT / "examples" / "exam"
TEXT_LAYER = ("01", "02", "03", "04", "05", "06", "07", "08", "09", "10")  # papers that need no OCR
PAPERS = 1000  # of one job: some seconds of work at least
LOOK = 0.002  # seconds between two looks at the store
LOG_LINES = 30
DEADLINE = 60.0  # seconds after which something that should have happened is given up on


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="gradewatch-bench-") as path:
        yield Path(path)


@dataclass(frozen=True, slots=True)
class Claim:
    job: str
    token: int
    session: str


class World:
    """One store in one folder. The commands read `gradewatch.toml` there and log to `log.txt`."""

    def __init__(self, path: Path, store: SqliteStore, papers: tuple[PaperRef, ...]) -> None:
        self.path, self.store, self._papers = path, store, papers
        self._processes: list[subprocess.Popen[bytes]] = []
        self._looking = sqlite3.connect(f"file:{store.path}?mode=ro", uri=True)
        self._rubric = Rubric.parse((EXAM / "rubric.yaml").read_bytes())

    def close(self) -> None:
        self._looking.close()

    def configure(self, settings: str) -> None:
        """Write `gradewatch.toml`: these settings and a free HTTP port."""
        (self.path / "gradewatch.toml").write_text(f"[http]\nport = 0\n{settings}")

    async def until(
        self, condition: Callable[[], Awaitable[T | None]], what: str, seconds: float = DEADLINE, look: float = LOOK
    ) -> T:
        """Wait until `condition` gives something else than None; look every `look` seconds.

        Raises TimeoutError that says what was waited for, and RuntimeError when a process has ended by itself.
        """
        end = time.monotonic() + seconds
        while (met := await condition()) is None:
            if any((process.poll() or 0) > 0 for process in self._processes):  # below zero: killed, by us
                raise RuntimeError(f"a process ended by itself while this was waited for: {what}")
            if time.monotonic() > end:
                raise TimeoutError(f"{what}: not within {seconds:g} s")
            await asyncio.sleep(look)
        return met

    # ---------------------------------------------------------------- processes

    @asynccontextmanager
    async def running(self, *command: str) -> AsyncIterator[subprocess.Popen[bytes]]:
        """`gradewatch COMMAND…` as a process of its own, for the length of the context."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("GRADEWATCH_")}
        env["PYTHONPATH"] = str(ROOT)
        argv = [sys.executable, "-m", "gradewatch", "--config", "gradewatch.toml", *command]
        with (self.path / "log.txt").open("ab") as log:
            process = subprocess.Popen(argv, cwd=self.path, env=env, stdout=log, stderr=log)
        self._processes.append(process)
        try:
            yield process
        finally:
            self._processes.remove(process)
            await stop(process)

    def logged(self) -> str:
        """The last lines of what its processes logged."""
        log = self.path / "log.txt"
        return "\n".join(log.read_text().splitlines()[-LOG_LINES:]) if log.exists() else ""

    # ---------------------------------------------------------------- jobs

    async def submit(self) -> str:
        """A grading job that runs for long."""
        payload = build_payload([self._papers[n % len(self._papers)] for n in range(PAPERS)], self._rubric)
        [job_id] = await self.store.submit([NewJob(GRADE, payload, progress_total=PAPERS)])
        return job_id

    async def at_work(self, job_id: str) -> Claim:
        """Wait until a worker has graded its first paper; returns its claim."""
        return await self.until(lambda: self._claim("id = ? AND progress_done > 0", job_id), "the job begins")

    async def runs_again(self, killed: Claim, seconds: float = DEADLINE) -> Claim:
        """Wait until a worker has claimed it anew."""
        again = "id = ? AND token > ?"
        return await self.until(lambda: self._claim(again, killed.job, killed.token), "the job runs again", seconds)

    async def _claim(self, condition: str, *values: object) -> Claim | None:
        # By hand: the store's own `job` would decode a thousand papers at every look, and so slow what is measured.
        sql = f"SELECT id, token, session_id FROM jobs WHERE state = 'running' AND {condition}"
        row = self._looking.execute(sql, values).fetchone()
        return Claim(*row) if row else None

    async def cancel(self, job_id: str) -> None:
        await self.store.operate(job_id, "cancel", by="bench", sweep="bench", message="measured")

    async def sessions(self) -> list[Session]:
        return [session for session in await self.store.sessions() if session.ended_at is None]

    async def watch_acts(self) -> None:
        """Wait until a watch has run its first cycle, in which it takes the lease of the one that acts."""

        async def leased() -> bool | None:
            return True if self._looking.execute("SELECT 1 FROM leases").fetchone() else None

        await self.until(leased, "a watch acts")

    async def workers_ready(self, count: int, *, beating: bool = False) -> list[Session]:
        """Wait until that many workers hold a session; with `beating`, until each has beaten too."""

        async def ready() -> list[Session] | None:
            open_ = [session for session in await self.sessions() if session.beats or not beating]
            return open_ if len(open_) >= count else None

        return await self.until(ready, f"{count} workers")


@asynccontextmanager
async def world(settings: str = "") -> AsyncIterator[World]:
    """`settings` as in `World.configure`."""
    with folder() as path:
        store = SqliteStore(path / "gradewatch.db")
        await store.migrate()
        await store.open()
        try:
            files = [next((EXAM / "papers").glob(f"{number}-*.pdf")) for number in TEXT_LAYER]
            made = World(path, store, tuple([await store.put(file, file.name) for file in files]))
            made.configure(settings)
            with closing(made), _explained(made):
                yield made
        finally:
            await store.close()


def processor_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


@contextmanager
def _explained(world: World) -> Iterator[None]:
    try:
        yield
    except Exception:
        print(f"\nlogged last:\n{world.logged()}", file=sys.stderr)
        raise


async def stop(process: subprocess.Popen[bytes], seconds: float = 10.0) -> None:
    """SIGTERM, then SIGKILL. The event loop goes on meanwhile, and with it what others measure."""
    process.terminate()
    try:
        await asyncio.to_thread(process.wait, seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        await asyncio.to_thread(process.wait)
