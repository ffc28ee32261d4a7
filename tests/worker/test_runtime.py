"""A worker over a real store: claiming, finishing, failing, waking, losing jobs and getting on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from structlog.testing import capture_logs
from worker_kit import Bench, Gate, graded, noop, until

from gradewatch.errors import PayloadError
from gradewatch.model import ActionKind, BeatReply, Job, JobState
from gradewatch.stores.sqlite import SqliteStore
from gradewatch.worker.context import JobContext
from gradewatch.worker.heartbeat import Beat

SUCCEEDED, FAILED, PENDING, RUNNING = JobState.SUCCEEDED, JobState.FAILED, JobState.PENDING, JobState.RUNNING


def _events(logs: list[Any], event: str) -> list[dict[str, Any]]:
    return [line for line in logs if line["event"] == event]


async def _raises(context: JobContext) -> Mapping[str, Any]:
    raise ValueError("the scanner is on fire")


# ---------------------------------------------------------------- the plain course


async def test_jobs_are_claimed_run_and_finished_with_their_results(bench: Bench) -> None:
    async def double(context: JobContext) -> Mapping[str, Any]:
        return {"twice": context.job.payload["n"] * 2}

    jobs = await bench.submit(20, payload={"n": 21})
    with capture_logs() as logs:
        async with bench.worker(double):
            done = await bench.in_state(jobs, SUCCEEDED)
    assert [j.result for j in done] == [{"twice": 42}] * 20
    assert [j.attempt for j in done] == [1] * 20
    assert bench.seen.done == [("grade", "succeeded")] * 20
    [started] = _events(logs, "worker started")
    assert (started["queues"], started["slots"]) == (("default",), 4)
    for event in ("processing job", "job finished"):
        lines = _events(logs, event)
        assert sorted(line["job"] for line in lines) == sorted(jobs)
        assert {"queue", "kind", "attempt", "token"} <= lines[0].keys()
    assert all(line["seconds"] >= 0 for line in _events(logs, "job finished"))


async def test_no_more_jobs_run_than_there_are_slots_and_a_free_slot_is_filled_at_once(bench: Bench) -> None:
    gate = Gate()
    jobs = await bench.submit(7)
    async with bench.worker(gate, slots=3, poll=30.0) as worker:
        await until(lambda: len(gate.begun) == 3)
        assert (worker.busy, worker.slots) == (3, 3)
        gate.open.set()
        await bench.in_state(jobs, SUCCEEDED)
        await until(lambda: worker.busy == 0)


async def test_an_idle_worker_hears_of_a_submission_long_before_its_next_poll(bench: Bench) -> None:
    async with bench.worker(poll=60.0):
        await asyncio.sleep(0.2)  # it has looked, found nothing, and waits
        began = time.monotonic()
        await bench.in_state(await bench.submit(), SUCCEEDED)
    assert time.monotonic() - began < 5.0


async def test_a_job_whose_time_comes_is_found_by_polling(bench: Bench) -> None:
    async with bench.worker(poll=0.2):
        await bench.in_state(await bench.submit(delay=0.5), SUCCEEDED)


async def test_a_kind_without_a_handler_is_left_alone(bench: Bench) -> None:
    [unknown] = await bench.submit(kind="transcribe")
    async with bench.worker():
        await bench.in_state(await bench.submit(), SUCCEEDED)
    job = await bench.job(unknown)
    assert (job.state, job.attempt) == (PENDING, 0)


async def test_the_session_says_who_works_and_is_ended_at_the_end(bench: Bench) -> None:
    async with bench.worker(http_url="http://127.0.0.1:1/", target="worker-1", incarnation="life-3") as worker:
        [session] = await bench.store.sessions()
        assert session.id == worker.session_id
        assert (session.queues, session.slots, session.version) == (("default",), 4, "test")
        assert (session.target, session.incarnation, session.http) == ("worker-1", "life-3", "http://127.0.0.1:1/")
    [session] = await bench.store.sessions()
    assert session.end_reason == "drained"


# ---------------------------------------------------------------- handlers that fail


async def test_a_failing_job_goes_back_with_a_backoff_and_its_attempt_charged(bench: Bench) -> None:
    [job_id] = await bench.submit()
    with capture_logs() as logs:
        async with bench.worker(_raises):
            await until(lambda: bench.seen.done == [("grade", "retried")])
    job = await bench.job(job_id)
    assert (job.state, job.attempt) == (PENDING, 1)
    assert job.error is not None
    assert job.error.message == "ValueError: the scanner is on fire"
    [failed] = _events(logs, "job failed")
    assert failed["job"] == job_id
    assert isinstance(failed["exc_info"], ValueError)


async def test_the_last_attempt_fails_the_job(bench: Bench) -> None:
    [job_id] = await bench.submit(max_attempts=1)
    async with bench.worker(_raises):
        [job] = await bench.in_state([job_id], FAILED)
    assert job.error is not None
    assert job.error.code == "attempts_exhausted"
    assert "the scanner is on fire" in job.error.message


async def _bad_payload(context: JobContext) -> Mapping[str, Any]:
    raise PayloadError("papers: a list is wanted")


async def _exits(context: JobContext) -> Mapping[str, Any]:
    raise SystemExit(3)


async def _cancels_itself(context: JobContext) -> Mapping[str, Any]:
    raise asyncio.CancelledError


async def _returns_a_datetime(context: JobContext) -> Mapping[str, Any]:
    return {"at": datetime.now(UTC)}


async def _returns_nothing(context: JobContext) -> Any:
    return None


async def _saves_rubbish(context: JobContext) -> Mapping[str, Any]:
    paper = graded(0)
    await context.save_paper(type(paper)(0, "a", "graded", 1.0, 1.0, {"object": object()}))
    return {}


@pytest.mark.parametrize(
    ("handler", "code"),
    [
        (_bad_payload, "payload_invalid"),
        (_exits, "attempts_exhausted"),
        (_cancels_itself, "attempts_exhausted"),
        (_returns_a_datetime, "attempts_exhausted"),
        (_returns_nothing, "attempts_exhausted"),
        (_saves_rubbish, "attempts_exhausted"),
    ],
)
async def test_whatever_a_handler_does_concerns_its_own_job_alone(bench: Bench, handler: Any, code: str) -> None:
    bad = await bench.submit(1, kind="bad", max_attempts=1)
    good = await bench.submit(5)
    async with bench.worker({"bad": handler, "grade": noop}, slots=2) as worker:
        [job] = await bench.in_state(bad, FAILED)
        await bench.in_state(good, SUCCEEDED)
        await until(lambda: worker.busy == 0)
    assert job.error is not None
    assert job.error.code == code


# ---------------------------------------------------------------- jobs and sessions taken away


@pytest.mark.parametrize("kind", [ActionKind.REQUEUE, ActionKind.EXPIRE])
async def test_a_job_taken_back_is_cancelled_by_the_next_beat(bench: Bench, kind: ActionKind) -> None:
    gate = Gate()
    [job_id] = await bench.submit()
    with capture_logs() as logs:
        async with bench.worker(gate, heartbeat=0.5):
            await until(lambda: gate.begun)
            await bench.repair(job_id, kind)
            await until(lambda: gate.cancelled == [job_id])
            await until(lambda: ("grade", "taken_back") in bench.seen.done)
    [line] = _events(logs, "job taken back")
    assert line["token"] == 1
    assert not _events(logs, "job failed")
    if kind is ActionKind.EXPIRE:
        assert (await bench.job(job_id)).state is FAILED


async def test_a_fenced_worker_drops_its_jobs_and_goes_on_under_a_new_session(bench: Bench) -> None:
    gate = Gate()
    jobs = await bench.submit(2)
    with capture_logs() as logs:
        async with bench.worker(gate, heartbeat=0.5) as worker:
            await until(lambda: len(gate.begun) == 2)
            first = worker.session_id
            assert first is not None
            assert await bench.store.end_session(first, "declared dead")
            await until(lambda: sorted(gate.cancelled) == sorted(jobs))
            await until(lambda: worker.session_id not in (None, first))
            for job_id in jobs:
                await bench.repair(job_id)
            gate.open.set()
            done = await bench.in_state(jobs, SUCCEEDED)
    assert [j.token for j in done] == [2, 2]
    assert len(_events(logs, "session ended by the watch")) == 1
    assert len(_events(logs, "worker started")) == 1
    assert len(_events(logs, "session reopened")) == 1


async def test_an_idle_fenced_worker_learns_of_it_from_its_claim(bench: Bench) -> None:
    async with bench.worker(heartbeat=600.0) as worker:
        first = worker.session_id
        assert first is not None
        await bench.store.end_session(first, "declared dead")
        await bench.in_state(await bench.submit(), SUCCEEDED)
        assert worker.session_id != first
    assert bench.seen.sessions == [True, False, True, False]


async def test_beats_never_cancel_a_job_that_is_being_claimed_or_finished(bench: Bench) -> None:
    """Beats in quick succession while jobs come and go: each reply is older than some claims, and newer than others."""

    async def brief(context: JobContext) -> Mapping[str, Any]:
        await asyncio.sleep(0.002)
        return {}

    jobs = await bench.submit(300)
    with capture_logs() as logs:
        async with bench.worker(brief, slots=8, heartbeat=0.02) as worker:
            worker._membership._timeout = 60.0  # beats every 4 ms, but a late one on a busy machine stops no claims
            done = await bench.in_state(jobs, SUCCEEDED)
        [session] = await bench.store.sessions()
    assert session.beats > 10
    assert {j.attempt for j in done} == {1}
    assert not _events(logs, "job taken back")
    assert not _events(logs, "job released")


async def test_a_claim_whose_answer_was_lost_is_given_back(bench: Bench) -> None:
    """What a claim leaves behind when the connection breaks between its commit and its answer."""
    gate = Gate()
    async with bench.worker({"other": gate}, heartbeat=0.3) as worker:
        assert worker.session_id is not None
        [job_id] = await bench.submit()
        [job] = await bench.store.claim(worker.session_id, ["default"], {"grade"}, 1)
        assert job.id == job_id
        [job] = await bench.in_state([job_id], PENDING)
    assert (job.attempt, job.token) == (0, 1)


async def test_a_suspect_runs_alone(bench: Bench) -> None:
    first, again, others = Gate(), Gate(), Gate()
    others.open.set()
    [suspect] = await bench.submit(kind="suspect", priority=9)
    async with bench.worker({"suspect": first}, heartbeat=0.5):
        await until(lambda: first.begun)
        await bench.repair(suspect, run_alone=True)
        await until(lambda: first.cancelled)
    jobs = await bench.submit(3)
    async with bench.worker({"suspect": again, "grade": others}, slots=4):
        await until(lambda: again.begun)
        await asyncio.sleep(0.5)  # several polls
        assert others.begun == []
        again.open.set()
        await bench.in_state([suspect, *jobs], SUCCEEDED)


# ---------------------------------------------------------------- answers that come late


async def test_a_beat_that_was_sent_before_a_claim_does_not_cancel_it(bench: Bench) -> None:
    gate = Gate()
    async with bench.worker(gate, heartbeat=600.0) as worker:
        assert worker.session_id is not None
        sent = time.monotonic()
        jobs = await bench.submit()
        await until(lambda: gate.begun)
        nothing_held = BeatReply(session_open=True, held=frozenset())
        worker._membership.heard(Beat(worker.session_id, sent, nothing_held))
        await asyncio.sleep(0.05)
        assert gate.cancelled == []
        worker._membership.heard(Beat(worker.session_id, time.monotonic(), nothing_held))
        await until(lambda: gate.cancelled == jobs)


async def test_a_beat_of_a_session_left_behind_says_nothing_of_the_new_one(bench: Bench) -> None:
    gate = Gate()
    await bench.submit()
    async with bench.worker(gate, heartbeat=600.0) as worker:
        await until(lambda: gate.begun)
        session = worker.session_id
        worker._membership.heard(Beat("an earlier one", time.monotonic(), BeatReply(False, frozenset())))
        await asyncio.sleep(0.05)
        assert (worker.session_id, gate.cancelled) == (session, [])


async def test_claims_that_run_here_are_no_orphans_however_often_a_beat_tells_of_them(bench: Bench) -> None:
    gate = Gate()
    jobs = await bench.submit(2)
    async with bench.worker(gate, heartbeat=0.1) as worker:
        await until(lambda: len(gate.begun) == 2)
        await bench.beating()
        await asyncio.sleep(0.3)  # some ten beats
        assert worker.busy == 2
        assert [(await bench.job(j)).state for j in jobs] == [RUNNING] * 2
        gate.open.set()
        done = await bench.in_state(jobs, SUCCEEDED)
    assert [(j.attempt, j.token) for j in done] == [(1, 1)] * 2


class SlowToAnswer(SqliteStore):
    """Claims at once, and answers a while later."""

    async def claim(self, session_id: str, queues: Sequence[str], kinds: Collection[str], limit: int) -> list[Job]:
        jobs = await super().claim(session_id, queues, kinds, limit)
        if jobs:
            await asyncio.sleep(0.5)
        return jobs


@pytest.mark.parametrize("way", ["drained", "cut", "cancelled"])
async def test_a_claim_answered_after_the_stop_began_is_given_back(bench: Bench, way: str) -> None:
    gate = Gate()
    async with bench.worker(gate, store=SlowToAnswer) as worker:
        jobs = await bench.submit(2)
        await bench.in_state(jobs, RUNNING)
        if way == "cancelled":
            assert bench.running is not None
            bench.running.cancel()
        else:
            worker.request_drain()
            if way == "cut":
                worker.request_drain()
        given_back = await bench.in_state(jobs, PENDING)
    assert [(j.attempt, j.token) for j in given_back] == [(0, 1)] * 2
    assert gate.begun == []


async def test_a_claim_answered_after_its_session_ended_is_not_begun(bench: Bench) -> None:
    gate = Gate()
    async with bench.worker(gate, store=SlowToAnswer, heartbeat=0.2) as worker:
        session = worker.session_id
        assert session is not None
        jobs = await bench.submit()
        await bench.in_state(jobs, RUNNING)
        await bench.store.end_session(session, "declared dead")
        await until(lambda: gate.begun)
        [job] = [await bench.job(j) for j in jobs]
        assert (job.token, job.session_id) == (2, worker.session_id)
        assert len(gate.begun) == 1
