"""What a handler is given: coalesced progress, checkpoints at once, both fenced, both through an outage."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from worker_kit import Bench, Gate, graded, until

from gradewatch.errors import Conflict, PaperError
from gradewatch.model import Claimed, JobState, PaperRef, PaperResult
from gradewatch.stores.sqlite import SqliteStore
from gradewatch.worker.context import JobContext
from gradewatch.worker.fenced import MAX_UNSAVED


async def test_progress_is_coalesced_and_the_last_word_is_always_written(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[int] = []
    real = SqliteStore.progress

    async def counted(self: SqliteStore, claim: Claimed, done: int, total: int, message: str = "") -> None:
        writes.append(done)
        await real(self, claim, done, total, message)

    monkeypatch.setattr(SqliteStore, "progress", counted)

    async def talkative(context: JobContext) -> Mapping[str, Any]:
        for done in range(1, 301):
            await context.progress(done, 300, f"paper {done}")
            await asyncio.sleep(0.002)
        return {}

    jobs = await bench.submit()
    async with bench.worker(talkative):
        [job] = await bench.in_state(jobs, JobState.SUCCEEDED)
    assert (job.progress_done, job.progress_total, job.status_message) == (300, 300, "paper 300")
    assert writes[0] == 1
    assert len(writes) <= 10
    assert writes == sorted(set(writes))


class SlowToTell(SqliteStore):
    async def progress(self, claim: Claimed, done: int, total: int, message: str = "") -> None:
        await asyncio.sleep(0.1)
        await super().progress(claim, done, total, message)


async def test_progress_told_while_another_is_being_written_is_not_lost(bench: Bench) -> None:
    async def overlapping(context: JobContext) -> Mapping[str, Any]:
        first = asyncio.create_task(context.progress(1, 2))
        await asyncio.sleep(0.02)
        await context.progress(2, 2)
        await first
        return {}

    jobs = await bench.submit()
    async with bench.worker(overlapping, store=SlowToTell):
        [job] = await bench.in_state(jobs, JobState.SUCCEEDED)
    assert job.progress_done == 2


async def test_progress_that_was_held_back_is_written_while_the_handler_is_busy(bench: Bench) -> None:
    gate = Gate()

    async def two_words(context: JobContext) -> Mapping[str, Any]:
        await context.progress(1, 9)
        await context.progress(2, 9)
        return await gate(context)

    [job_id] = await bench.submit()
    async with bench.worker(two_words):

        async def second_word() -> bool:
            return (await bench.job(job_id)).progress_done == 2

        await until(second_word)
        gate.open.set()


async def test_a_checkpoint_is_in_the_store_when_it_returns(bench: Bench) -> None:
    found: list[int] = []

    async def saves(context: JobContext) -> Mapping[str, Any]:
        for index in range(3):
            await context.save_paper(graded(index))
            found.append(len(await bench.store.papers(context.job.id)))
        found.append(len(await context.saved_papers()))
        return {}

    jobs = await bench.submit(progress_total=3)
    async with bench.worker(saves):
        await bench.in_state(jobs, JobState.SUCCEEDED)
    assert found == [1, 2, 3, 3]
    assert bench.seen.papers == ["graded"] * 3


@pytest.mark.parametrize("write", ["progress", "save_paper"])
async def test_a_write_under_a_lost_claim_stops_the_job_and_changes_nothing(bench: Bench, write: str) -> None:
    gate = Gate()
    raised: list[BaseException] = []

    async def late(context: JobContext) -> Mapping[str, Any]:
        await gate(context)
        for _ in range(2):  # stubborn: it tries again after the refusal
            try:
                await (context.progress(9, 9) if write == "progress" else context.save_paper(graded(0)))
            except Conflict as conflict:
                raised.append(conflict)
        return {}

    [job_id] = await bench.submit()
    with capture_logs() as logs:
        async with bench.worker(late, heartbeat=600.0):  # no beat tells it in time: its own write must
            await until(lambda: gate.begun)
            await bench.beating()  # the only beat, behind us
            await bench.repair(job_id)
            await until(lambda: len(gate.begun) == 2)  # the same worker has it again, under another token
            gate.open.set()
            [job] = await bench.in_state([job_id], JobState.SUCCEEDED)
            await until(lambda: ("grade", "taken_back") in bench.seen.done)
    assert len(raised) == 2  # both writes of the first attempt, none of the second
    assert [line["token"] for line in logs if line["event"] == "job taken back"] == [1]
    assert (job.token, job.attempt) == (2, 2)
    assert {p.times_written for p in await bench.store.papers(job_id)} <= {1}, "the same again is no other write"


async def test_papers_of_an_outage_wait_in_memory_and_are_written_once(bench: Bench) -> None:
    away = bench.path.with_name("away.db")
    saved: list[int] = []

    async def grades(context: JobContext) -> Mapping[str, Any]:
        await context.save_paper(graded(0))
        bench.path.rename(away)
        for index in range(1, 10):
            await context.save_paper(graded(index))
            saved.append(index)
        return {}

    with capture_logs() as logs:
        async with bench.worker(grades, heartbeat=60.0) as worker:
            await bench.beating()
            jobs = await bench.submit()
            await until(lambda: saved == list(range(1, 10)))  # it went on grading without the store
            assert worker.busy == 1
            away.rename(bench.path)
            await bench.in_state(jobs, JobState.SUCCEEDED)
    papers = await bench.store.papers(jobs[0])
    assert sorted(p.index for p in papers) == list(range(10))
    assert {p.times_written for p in papers} == {1}
    events = [line["event"] for line in logs]
    assert (events.count("store unreachable"), events.count("store back")) == (1, 1)


async def test_a_full_outbox_makes_the_handler_wait(bench: Bench) -> None:
    away = bench.path.with_name("away.db")
    saved: list[int] = []

    async def grades(context: JobContext) -> Mapping[str, Any]:
        bench.path.rename(away)
        for index in range(MAX_UNSAVED + 20):
            await context.save_paper(graded(index))
            saved.append(index)
        return {}

    jobs = await bench.submit()
    async with bench.worker(grades, heartbeat=60.0):
        await until(lambda: len(saved) == MAX_UNSAVED - 1)
        await asyncio.sleep(0.2)
        assert len(saved) == MAX_UNSAVED - 1
        away.rename(bench.path)
        await bench.in_state(jobs, JobState.SUCCEEDED)
    assert len(await bench.store.papers(jobs[0])) == MAX_UNSAVED + 20


async def test_papers_are_read_as_files_and_a_missing_one_is_told(bench: Bench, tmp_path: Path) -> None:
    source = tmp_path / "ada.pdf"
    source.write_bytes(b"%PDF-1.7 not much")
    ref = await bench.store.put(source, "ada.pdf")
    absent = PaperRef("bob.pdf", hashlib.sha256(b"never put").hexdigest(), 9)
    read: list[bytes] = []
    missing: list[PaperError] = []

    async def reads(context: JobContext) -> Mapping[str, Any]:
        async with context.paper(ref) as path:
            read.append(path.read_bytes())
        try:
            async with context.paper(absent):
                pass
        except PaperError as error:
            missing.append(error)
        return {}

    jobs = await bench.submit()
    async with bench.worker(reads):
        await bench.in_state(jobs, JobState.SUCCEEDED)
    assert read == [b"%PDF-1.7 not much"]
    assert len(missing) == 1


async def test_saved_papers_survive_the_attempt_that_failed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradewatch.worker.outcome.RETRY_BASE", 0.01)
    graded_at: list[tuple[int, int]] = []

    async def resumes(context: JobContext) -> Mapping[str, Any]:
        known: Sequence[PaperResult] = await context.saved_papers()
        for index in sorted(set(range(4)) - {p.index for p in known}):
            if index == 2 and context.job.attempt == 1:
                raise OSError("the disk hiccups")
            graded_at.append((context.job.attempt, index))
            await context.save_paper(graded(index))
        return {}

    jobs = await bench.submit()
    async with bench.worker(resumes, poll=0.05):
        [job] = await bench.in_state(jobs, JobState.SUCCEEDED)
    assert graded_at == [(1, 0), (1, 1), (2, 2), (2, 3)]
    assert {p.times_written for p in await bench.store.papers(job.id)} == {1}
