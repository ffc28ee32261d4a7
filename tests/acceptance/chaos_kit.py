"""A scene for chaos: the real commands as processes over a store of their own, and what a bystander can see of them.

Whatever is waited for is a condition with a deadline. The test looks at the store itself, at each process's log, and
at the watch's HTTP, never into a process.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

import psutil

from gradewatch.model import AuditEntry, Job, JobState, NewJob, Outcome, PaperRef, Session
from gradewatch.stores.sqlite import SqliteStore
from gradewatch.worker.payload import build_payload
from gradewatch.worker.rubric import Rubric

T = TypeVar("T")

GRADEWATCH = (sys.executable, "-m", "gradewatch")
EXAM = Path(__file__).parents[2] / "examples" / "exam"
TYPED = tuple(sorted(EXAM.glob("papers/*.pdf")))[:10]  # papers with a text layer: a few milliseconds each
DEADLINE = 60.0  # seconds for anything to happen, on a machine that is busy with other things too
CYCLE = "gradewatch_cycle_last_timestamp_seconds"
LOOK = 0.03  # seconds between two looks: several scenes share a machine

SETTINGS: Mapping[str, str] = {
    "STORE__TIMEOUT": "2s",
    "HTTP__PORT": "0",
    "WATCH__INTERVAL": "500ms",
    "TIMEOUTS__HEARTBEAT": "2s",
    "REMEDIATION__COOLDOWN": "200ms",
    "REMEDIATION__VERIFY": "10s",
    "REMEDIATION__START_GRACE": "2s",
    "REMEDIATION__LEASE": "3s",
    "WORKER__SLOTS": "1",
    "WORKER__POLL": "200ms",
    "LOG__FORMAT": "json",
}


class Service:
    """One command that stays, and its log; the log of `gradewatch run` holds its workers' lines too."""

    def __init__(self, name: str, log: Path, process: subprocess.Popen[bytes]) -> None:
        self.name, self.log, self.process = name, log, process
        self._read: list[dict[str, Any]] = []
        self._read_to = 0

    @property
    def pid(self) -> int:
        return self.process.pid

    def lines(self, event: str | None = None, **fields: Any) -> list[dict[str, Any]]:
        """Every whole line so far, those of one event, or those with these fields."""
        with self.log.open("rb") as log:
            log.seek(self._read_to)
            whole, newline, _ = log.read().rpartition(b"\n")
        self._read_to += len(whole) + len(newline)
        self._read += [_parsed(text) for text in whole.decode().splitlines()]
        wanted = {**fields, **({"event": event} if event else {})}
        return [line for line in self._read if all(line.get(key) == value for key, value in wanted.items())]

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        self.process.send_signal(number)

    async def ended(self) -> int:
        """Its exit code, once it has ended."""
        return await asyncio.to_thread(self.process.wait, DEADLINE)

    async def url(self) -> str:
        """Where it serves HTTP."""
        line = await until(lambda: self.lines("watch started"), f"{self.name} serves HTTP")
        return str(line[0]["url"])

    async def get(self, path: str) -> tuple[int, str]:
        """Status and body of a GET."""
        url = await self.url() + path

        def asked() -> tuple[int, str]:
            try:
                with urllib.request.urlopen(url, timeout=DEADLINE) as answer:
                    return answer.status, answer.read().decode()
            except urllib.error.HTTPError as refusal:
                with refusal:
                    return refusal.code, refusal.read().decode()

        return await asyncio.to_thread(asked)

    async def metric(self, series: str) -> float | None:
        """The value of one series, labels and all; None while there is no such series."""
        _, text = await self.get("/metrics")
        values = [line.rpartition(" ")[2] for line in text.splitlines() if line.rpartition(" ")[0] == series]
        return float(values[0]) if values else None

    async def shows(self, series: str, value: float) -> None:
        """Wait until that series has that value: metrics follow the log lines of a cycle, at its end."""

        async def shown() -> bool:
            return await self.metric(series) == value

        await until(shown, f"{self.name} shows {series} {value:g}")

    async def cycles(self, count: int) -> None:
        """Wait until the watch has run so many more cycles."""
        for _ in range(count):
            before = await self.metric(CYCLE)
            await until(partial(self._cycled, before), f"{self.name} runs another cycle")

    async def _cycled(self, before: float | None) -> bool:
        return await self.metric(CYCLE) != before


class Scene:
    """A folder with a store, and the processes that were started over it. `moved` is the seconds by which a test has
    stepped the clock of those processes, so that our own look at the store has the same."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.moved = 0.0
        self.services: list[Service] = []
        own = {name: value for name, value in os.environ.items() if not name.startswith("GRADEWATCH_")}
        for name in ("DATABASE_URL", "SUPABASE_URL", "MONGO_URL", "GROQ_API_KEY"):
            own.pop(name, None)
        self.environ = own | {f"GRADEWATCH_{name}": value for name, value in SETTINGS.items()}
        (folder / "gradewatch.toml").touch()
        (folder / "store").mkdir()
        self._settle(folder / "store")

    def _settle(self, folder: Path) -> None:
        self.database = folder / "gradewatch.db"
        self.url = self.environ["GRADEWATCH_STORE__URL"] = f"sqlite:///{self.database}"
        self.store = SqliteStore(self.database, timeout=10.0, clock=self._clock)

    def _clock(self) -> int:
        return time.time_ns() // 1000 + int(self.moved * 1e6)

    async def open(self) -> None:
        await self.store.migrate()
        await self.store.open()

    async def move(self, folder: Path) -> None:
        """Have the store in another folder, from the start."""
        await self.store.close()
        self._settle(folder)
        await self.open()

    # ---------------------------------------------------------------- processes

    def start(self, *args: str, environ: Mapping[str, str] | None = None, **settings: str) -> Service:
        """Start a command that stays. `settings` are variables without their prefix: WORKER__SLOTS="2"."""
        name = f"{args[0]}-{len(self.services) + 1}"
        log = self.folder / f"{name}.log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [*GRADEWATCH, *args],
                cwd=self.folder,
                env=self._env(settings, environ),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        self.services.append(Service(name, log, process))
        return self.services[-1]

    async def run(self, *args: str, code: int = 0, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a command that ends, and check its exit code."""
        done = await asyncio.to_thread(
            subprocess.run,
            [*GRADEWATCH, *args],
            cwd=self.folder,
            env=self._env(settings),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        assert done.returncode == code, f"{args}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def _env(self, settings: Mapping[str, str], environ: Mapping[str, str] | None = None) -> dict[str, str]:
        return {
            **self.environ,
            **(environ or {}),
            **{f"GRADEWATCH_{name}": value for name, value in settings.items()},
        }

    def processes(self) -> list[psutil.Process]:
        """Every process over this scene's store, whoever started it."""
        return [process for process in psutil.process_iter() if self._ours(process)]

    def _ours(self, process: psutil.Process) -> bool:
        try:
            return process.status() != psutil.STATUS_ZOMBIE and self.url in process.environ().values()
        except psutil.Error:
            return False

    async def freeze(self, pid: int) -> None:
        """SIGSTOP, at a moment when the process does not hold the store's write lock: SQLite would keep it locked."""
        while True:
            os.kill(pid, signal.SIGSTOP)
            await until(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED, f"{pid} has stopped")
            if not self.locked():
                return
            os.kill(pid, signal.SIGCONT)
            await asyncio.sleep(LOOK)

    def locked(self) -> bool:
        """Does somebody hold the store's write lock?"""
        with closing(sqlite3.connect(self.database, timeout=0, isolation_level=None)) as ours:
            try:
                ours.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return True
            return False

    def count(self, table: str, **equal: str) -> int:
        """Rows, straight from the store: asked all the time, while a process is to be caught in the act."""
        where = " AND ".join(f"{name} = ?" for name in equal)
        with closing(sqlite3.connect(self.database)) as file:
            (found,) = file.execute(f"SELECT count(*) FROM {table} WHERE {where}", tuple(equal.values())).fetchone()
            return int(found)

    async def clear(self) -> None:
        """End every process and close the store, then show the logs: pytest prints them where the test failed."""
        for service in self.services:
            service.process.kill()
            await service.ended()
        for process in self.processes():
            process.kill()
        await self.store.close()
        for service in self.services:
            print(f"---- {service.log.name}\n{service.log.read_text()}")

    # ---------------------------------------------------------------- jobs and papers

    async def submit(self, count: int, papers: int, **changes: Any) -> list[str]:
        """So many jobs of so many typed papers each; their ids."""
        refs = [await self.store.put(path, path.name) for path in TYPED]
        payload = build_payload(many(refs, papers), rubric())
        job = NewJob(**({"kind": "grade", "payload": payload, "progress_total": papers} | changes))
        return await self.store.submit([job] * count)

    async def job(self, job_id: str) -> Job:
        job = await self.store.job(job_id)
        assert job is not None
        return job

    async def jobs(self, ids: Sequence[str]) -> list[Job]:
        return [await self.job(job_id) for job_id in ids]

    async def half_way(self, job_id: str) -> Job:
        """The job, once it is running in earnest and far from done. Counts the papers that are in the store: the job's
        progress follows them in steps of half a second, in which a quick machine is done with a small job."""

        async def running() -> Job | None:
            graded, job = len(await self.store.papers(job_id)), await self.job(job_id)
            total = job.progress_total
            assert not job.state.finished, f"a job of {total} papers is too quick for this test: {job.state} already"
            return job if job.state is JobState.RUNNING and 3 <= graded < total / 2 else None

        return await until(running, f"{job_id} is half way", every=LOOK / 3)

    async def finished(self, ids: Sequence[str]) -> None:
        async def all_finished() -> bool:
            return all(job.state.finished for job in await self.jobs(ids))

        await until(all_finished, f"{len(ids)} jobs are finished", within=1.5 * DEADLINE)

    async def graded_once(self, ids: Sequence[str]) -> None:
        """Wait for the end, then: each job succeeded, each paper has the marks a person gave it, written once, and the
        audit trail knows of every time a job was lost."""
        await self.finished(ids)
        taken_back = Counter(e.subject for e in await self.audit("requeue") if e.outcome is Outcome.APPLIED)
        for job in await self.jobs(ids):
            assert (job.state, job.error) == (JobState.SUCCEEDED, None)
            assert job.lost == taken_back[job.id]
            results = await self.store.papers(job.id)
            assert [r.index for r in results] == list(range(job.progress_total))
            assert {r.times_written for r in results} == {1}
            assert [(r.name, r.error) for r in results if (r.marks, r.status) != expected(r.name)] == []
            assert sum(len(service.lines("job finished", job=job.id)) for service in self.services) <= 1, (
                "finished once"
            )

    # ---------------------------------------------------------------- sessions and the audit trail

    async def session_of(self, job: Job) -> Session:
        found = [s for s in await self.store.sessions() if s.id == job.session_id]
        assert found, f"nobody runs {job}"
        return found[0]

    async def workers(self, count: int) -> list[Session]:
        """Wait for so many open sessions that have beaten."""

        async def there() -> list[Session] | None:
            open_ = [s for s in await self.store.sessions() if s.ended_at is None and s.beats > 0]
            return open_ if len(open_) >= count else None

        return await until(there, f"{count} workers are there")

    async def audit(self, *actions: str) -> list[AuditEntry]:
        """The audit trail, oldest first; only these actions, where some are named."""
        entries = await self.store.audit(limit=10_000)
        return [e for e in reversed(entries) if not actions or e.action in actions]

    async def story(self) -> list[tuple[str, str, str]]:
        """What the audit trail tells: (action, outcome, subject), oldest first."""
        return [(e.action, e.outcome.value, e.subject) for e in await self.audit()]


async def until(look: Callable[[], T | Awaitable[T]], what: str, *, within: float = DEADLINE, every: float = LOOK) -> T:
    """What `look` gives as soon as it is true."""
    deadline = time.monotonic() + within
    while True:
        found = look()
        if isinstance(found, Awaitable):
            found = await found
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {within:g} s: {what}"
        await asyncio.sleep(every)


def later(seconds: float) -> Callable[[], bool]:
    """To wait for nothing but time: for an outage to last."""
    due = time.monotonic() + seconds
    return lambda: time.monotonic() > due


def many(refs: Sequence[PaperRef], count: int) -> list[PaperRef]:
    """So many papers made of a few, each with a name of its own."""
    return [replace(refs[n % len(refs)], name=f"{n:04d}-{refs[n % len(refs)].name}") for n in range(count)]


def expected(name: str) -> tuple[float, str]:
    """Marks and status that a person gave this paper, or the one that it is a copy of."""
    given = _marks()[name if name in _marks() else name.partition("-")[2]]
    return given["marks"], given["status"]


@cache
def rubric() -> Rubric:
    return Rubric.parse((EXAM / "rubric.yaml").read_bytes())


@cache
def _marks() -> dict[str, Any]:
    papers: dict[str, Any] = json.loads((EXAM / "marks.json").read_text())["papers"]
    return papers


def _parsed(text: str) -> dict[str, Any]:
    try:
        line: dict[str, Any] = json.loads(text)
    except ValueError:
        return {"event": text.strip()}
    return line
