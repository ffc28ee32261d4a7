"""The plot: submit, wait for half, kill a worker in the middle of a job, see the job taken back, count."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from gradewatch.app.submit import submit_papers
from gradewatch.demo.teller import Teller, say
from gradewatch.errors import GradewatchError
from gradewatch.model import Job, JobState, Session
from gradewatch.ports import Store

T = TypeVar("T")
LOOK = 0.02  # seconds between two looks at the store while waiting for something


class Story:
    """Tell it once. `running` is the task of the watch: when it ends early, so does the story."""

    def __init__(self, store: Store, exam: Path, teller: Teller, running: asyncio.Task[None]) -> None:
        self._store, self._exam, self._teller, self._running = store, exam, teller, running
        self._ids: list[str] = []

    async def tell(self, papers_a_job: int) -> dict[str, Any]:
        """Returns the report. Raises GradewatchError when the watch or the workers cannot run."""
        papers = sorted((self._exam / "papers").iterdir())
        await self._until(self._both_workers_are_there)
        for some in _batches(papers, papers_a_job):
            self._ids.append(await submit_papers(self._store, some, self._exam / "rubric.yaml"))
        say(f"submitted {len(papers)} papers as {len(self._ids)} jobs", bold=True)
        victim, job = await self._until(lambda: self._someone_half_way(len(papers) // 2))
        recovery = await self._kill(victim, job)
        await self._until(self._all_finished)
        await self._until(self._restart_is_verified)
        return await self._count(len(papers), recovery)

    async def _kill(self, victim: Session, job: Job) -> float:
        held = f"{job.progress_done} of {job.progress_total} papers done"
        say(
            f"killing {victim.name} (pid {victim.pid}) with SIGKILL while it runs job {job.id}, {held}",
            fg="red",
            bold=True,
        )
        os.kill(victim.pid, signal.SIGKILL)
        began = time.monotonic()
        again = await self._until(lambda: self._runs_again(job))
        seconds = time.monotonic() - began
        say(
            f"job {job.id} runs again after {seconds:.2f} s, from paper {again.progress_done + 1}",
            fg="green",
            bold=True,
        )
        return seconds

    # ---------------------------------------------------------------- what is waited for

    async def _until(self, condition: Callable[[], Awaitable[T | None]]) -> T:
        while (met := await condition()) is None:
            if self._running.done():
                self._running.result()
                raise GradewatchError("The watch ended before the story did.")
            await asyncio.sleep(LOOK)
        return met

    async def _both_workers_are_there(self) -> bool | None:
        open_ = [s for s in await self._store.sessions() if s.ended_at is None]
        return True if len(open_) >= 2 else None

    async def _someone_half_way(self, half: int) -> tuple[Session, Job] | None:
        """A worker in the middle of a job, once half of all papers are graded."""
        jobs = await self._jobs()
        if sum(job.progress_done for job in jobs) < half:
            return None
        sessions = {s.id: s for s in await self._store.sessions()}
        for job in jobs:
            session = sessions.get(job.session_id or "")
            in_the_middle = 0 < job.progress_done < job.progress_total - 1  # or it might end before the signal arrives
            if job.state is JobState.RUNNING and in_the_middle and session:
                return session, job
        return None

    async def _runs_again(self, killed: Job) -> Job | None:
        job = await self._store.job(killed.id)
        assert job is not None
        return job if job.token > killed.token and job.state is not JobState.PENDING else None

    async def _all_finished(self) -> bool | None:
        return True if all(job.state.finished for job in await self._jobs()) else None

    async def _restart_is_verified(self) -> bool | None:
        restarts = [e for e in await self._store.audit(limit=100) if e.action == "restart"]
        return True if restarts and all(e.verified is not None for e in restarts) else None

    async def _jobs(self) -> list[Job]:
        jobs = [await self._store.job(job_id) for job_id in self._ids]
        return [job for job in jobs if job is not None]

    # ---------------------------------------------------------------- the count

    async def _count(self, papers: int, recovery: float) -> dict[str, Any]:
        results = {job_id: await self._store.papers(job_id) for job_id in self._ids}
        rewritten = sum(r.times_written - 1 for saved in results.values() for r in saved)
        regraded = sum(times - 1 for times in self._teller.gradings.values())
        graded = sum(len(saved) for saved in results.values())
        self._compare([(r.name, r.marks, r.status) for saved in results.values() for r in saved])
        remediations = [
            {"action": e.action, "subject": e.subject, "outcome": e.outcome.value, "why": e.message,
             "verified": e.verified, "sweep": e.sweep}
            for e in reversed(await self._store.audit(limit=100))
        ]  # fmt: skip
        return {
            "papers": papers,
            "graded": graded,
            "lost": papers - graded,
            "graded_twice": max(rewritten, regraded),
            "kills": 1,
            "recovery_seconds": round(recovery, 3),
            "findings": self._teller.findings,
            "remediations": remediations,
        }

    def _compare(self, got: Sequence[tuple[str, float | None, str]]) -> None:
        expected = json.loads((self._exam / "marks.json").read_text())["papers"]
        right = sum(
            expected[name]["marks"] == marks and expected[name]["status"] == status for name, marks, status in got
        )
        style = {"fg": "green", "bold": True} if right == len(got) == len(expected) else {"fg": "yellow"}
        say(f"{len(got)} papers have a result; marks and status are as a person gave them on {right}", **style)
        if right < len(expected) and any(status == "failed" for _, _, status in got):
            say("scanned papers need the reader: pip install 'gradewatch[ocr]'", fg="yellow")


def _batches(items: Sequence[Path], size: int) -> list[list[Path]]:
    rest = iter(items)
    return list(iter(lambda: list(islice(rest, size)), []))
