"""A worker in a process of its own, and real signals: KILL, STOP and CONT, TERM."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from worker_kit import Bench, until

from gradewatch.model import Job, JobState

PROGRAM = Path(__file__).with_name("_worker_proc.py")


class Child:
    def __init__(self, folder: Path, number: int, *, drain: float, heartbeat: float) -> None:
        self._log = folder / f"worker-{number}.log"
        command = [sys.executable, str(PROGRAM), str(folder / "gradewatch.db"), str(drain), str(heartbeat)]
        with self._log.open("wb") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def events(self) -> list[str]:
        lines: list[dict[str, Any]] = [json.loads(line) for line in self._log.read_text().splitlines()]
        return [line["event"] for line in lines]

    async def gone(self) -> int:
        await until(lambda: self.process.poll() is not None, "the worker's end")
        return self.process.returncode


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Child]]:
    children: list[Child] = []

    def one_more(*, drain: float = 5.0, heartbeat: float = 60.0) -> Child:
        children.append(Child(tmp_path, len(children), drain=drain, heartbeat=heartbeat))
        return children[-1]

    yield one_more
    for child in children:
        child.process.kill()
        child.process.wait()


async def _held_at(bench: Bench, papers: int, hold_at: int) -> str:
    """A job of so many papers, in the hands of a worker that has checkpointed those up to `hold_at`."""
    [job_id] = await bench.submit(payload={"papers": papers, "hold_at": hold_at}, progress_total=papers)

    async def checkpointed() -> bool:
        return len(await bench.store.papers(job_id)) == hold_at + 1

    await until(checkpointed)
    return job_id


def _let_go(bench: Bench) -> None:
    bench.path.with_name("let-go").touch()


async def _stop_between_writes(child: Child, bench: Bench) -> None:
    """SIGSTOP, but not in the middle of a write: a process that sleeps on SQLite's lock stops everybody else too."""
    writer = sqlite3.connect(bench.path, timeout=0.2, isolation_level=None)

    def stopped() -> bool:
        child.send(signal.SIGSTOP)
        try:
            writer.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            child.send(signal.SIGCONT)
            return False
        writer.execute("ROLLBACK")
        return True

    await until(stopped, "a stop between two writes")
    writer.close()


async def _each_graded_once(bench: Bench, job: Job, papers: int) -> None:
    results = await bench.store.papers(job.id)
    assert sorted(p.index for p in results) == list(range(papers))
    assert {p.times_written for p in results} == {1}
    assert (job.progress_done, job.result) == (papers, {"papers": papers})


async def test_after_kill_9_the_next_worker_goes_on_from_the_checkpoints(
    bench: Bench, start: Callable[..., Child]
) -> None:
    first = start()
    job_id = await _held_at(bench, papers=6, hold_at=2)
    first.send(signal.SIGKILL)
    assert await first.gone() == -signal.SIGKILL
    assert (await bench.job(job_id)).state is JobState.RUNNING  # nobody knows yet
    await bench.repair(job_id)
    _let_go(bench)
    start()
    [job] = await bench.in_state([job_id], JobState.SUCCEEDED)
    await _each_graded_once(bench, job, 6)
    graded = bench.path.with_name("graded.log").read_text().split()
    assert graded == ["0", "1", "2", "3", "4", "5"]  # none was even graded, let alone written, twice


async def test_a_worker_stopped_and_continued_has_its_late_write_refused(
    bench: Bench, start: Callable[..., Child]
) -> None:
    sleeper = start()
    job_id = await _held_at(bench, papers=5, hold_at=1)
    await _stop_between_writes(sleeper, bench)
    [session] = await bench.store.sessions()
    assert await bench.store.end_session(session.id, "declared dead")
    await bench.repair(job_id)
    _let_go(bench)
    start()
    [job] = await bench.in_state([job_id], JobState.SUCCEEDED)
    sleeper.send(signal.SIGCONT)
    await until(lambda: "job taken back" in sleeper.events())
    await until(lambda: "session reopened" in sleeper.events())
    assert job == await bench.job(job_id)
    await _each_graded_once(bench, job, 5)
    assert "job finished" not in sleeper.events()


async def test_sigterm_lets_a_job_finish(bench: Bench, start: Callable[..., Child]) -> None:
    child = start(drain=20.0)
    job_id = await _held_at(bench, papers=3, hold_at=1)
    child.send(signal.SIGTERM)
    await until(lambda: "worker draining" in child.events())
    _let_go(bench)
    assert await child.gone() == 0
    await _each_graded_once(bench, await bench.job(job_id), 3)
    assert child.events()[-1] == "worker stopped"


async def test_sigterm_gives_back_what_does_not_finish(bench: Bench, start: Callable[..., Child]) -> None:
    child = start(drain=0.3)
    job_id = await _held_at(bench, papers=3, hold_at=1)
    child.send(signal.SIGTERM)
    assert await child.gone() == 0
    job = await bench.job(job_id)
    assert (job.state, job.attempt, job.session_id) == (JobState.PENDING, 0, None)
    assert len(await bench.store.papers(job_id)) == 2
    [session] = await bench.store.sessions()
    assert session.end_reason == "drained"
