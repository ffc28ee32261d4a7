"""A worker inside FastAPI, in real uvicorn processes."""

from __future__ import annotations

import asyncio
import os
import re
import signal

from embed_kit import Place, Server, until

from gradewatch.model import JobState


async def asked(server: Server, path: str) -> tuple[int, str]:
    return await asyncio.to_thread(server.get, path)


async def test_the_grading_worker_grades_inside_the_application(place: Place) -> None:
    [job_id] = await place.submit(papers=3)
    server = place.uvicorn("grading")
    await server.serves("/colour")

    async def graded() -> bool:
        job = await place.store.job(job_id)
        return job is not None and job.state is JobState.SUCCEEDED

    await until(graded, "the job is graded")
    [session] = await place.beating()
    assert re.fullmatch(r"grading-.+", session.name)
    assert (session.queues, session.slots) == (("default",), 1)
    code, status = await asyncio.to_thread(server.status, "/gradewatch")
    assert (code, status["worker_running"], status["worker_configured"]) == (200, True, True)
    assert [worker["name"] for worker in status["workers"]] == [session.name]
    assert set(status) == {"worker_configured", "worker_running", "workers", "recent_jobs", "status_counts",
                           "oldest_stuck_job", "jobs", "findings"}  # fmt: skip
    assert (status["recent_jobs"], status["status_counts"]["succeeded"]) == (1, 1)
    assert await asked(server, "/gradewatch/livez") == (200, '{"status":"ok"}')
    assert await asked(server, "/gradewatch/readyz") == (200, '{"status":"ok"}')
    _, metrics = await asked(server, "/gradewatch/metrics")
    assert 'gradewatch_jobs_finished_total{outcome="succeeded",queue="default"} 1.0' in metrics
    assert "\ngradewatch_worker_up 1.0\n" in metrics
    names = re.findall(r"^# TYPE (\S+)", metrics, re.MULTILINE)
    assert len(names) == len(set(names)), "each family once"
    assert await asked(server, "/gradewatch/other") == (200, '"caught gradewatch/other"')

    server.tell(signal.SIGTERM)
    assert await server.ended() in (0, -signal.SIGTERM)
    [ended] = await place.sessions()
    assert ended.end_reason == "drained"


async def test_of_two_processes_one_runs_the_worker_and_the_other_takes_over(place: Place) -> None:
    server = place.uvicorn("coroutine", workers=2)
    await server.serves("/colour")
    await until(lambda: len(place.noted("own entered")) == 2, "both processes are up")
    [session] = await place.beating()
    assert place.noted("began") == [session.pid]
    assert await asked(server, "/colour") == (200, '"green"')  # the state of the application's own lifespan
    seen = {(await asked(server, "/watch/api/worker_status"))[0] for _ in range(8)}
    assert seen == {200}, "every process says the same"

    os.kill(session.pid, signal.SIGKILL)
    await until(lambda: len(place.noted("began")) == 2, "another process takes the worker over")
    first, second = place.noted("began")
    assert first != second
    await place.store.end_session(session.id, "killed")
    [other] = await place.beating()
    assert other.pid == second

    server.tell(signal.SIGTERM)
    await server.ended()
    assert second in place.noted("ended")
    assert sorted(place.noted("ended")) == sorted(set(place.noted("began")) - {first}), "none is cut off"
    assert [s.end_reason for s in await place.sessions() if s.pid == second] == ["drained"]
    assert await place.store.acquire(f"embed:tasks@{other.host}", "test", 5.0), "its lease was given back"


async def test_a_crash_is_told_everywhere_and_the_worker_starts_again(place: Place) -> None:
    server = place.uvicorn("coroutine")
    await server.serves("/colour")
    [session] = await place.beating()
    await place.submit()
    place.notes.with_name("crash").touch()
    await until(lambda: len(place.noted("began")) == 2, "it is started again")
    [again] = await place.beating()
    assert (again.name, again.pid, again.id != session.id) == (session.name, session.pid, True)
    [crashed] = [s for s in await place.sessions() if s.id == session.id]
    assert re.fullmatch(r"crashed: KeyError at fast\.py:\d+ in worker", crashed.end_reason)
    log = server.log.read_text()
    assert "embedded worker crashed" in log
    assert "Traceback" in log


async def test_one_that_always_crashes_is_a_crash_loop(place: Place) -> None:
    server = place.uvicorn("crashing")
    await server.serves("/colour")

    async def looping() -> dict[str, object] | None:
        code, status = await asyncio.to_thread(server.status, "/gradewatch")
        found = {finding["code"]: finding for finding in status["findings"]}
        return found.get("worker_crash_loop") if code == 503 and not status["worker_running"] else None

    finding = await until(looping, "a crash loop is found")
    assert str(finding["subject"]).startswith("hopeless-")
    assert any("crashed: ValueError at fast.py" in line for line in finding["evidence"])  # type: ignore[attr-defined]
    _, metrics = await asked(server, "/gradewatch/metrics")
    assert 'gradewatch_finding_active{code="worker_crash_loop"} 1.0' in metrics
    assert (await asked(server, "/colour"))[0] == 200


async def test_the_drain_has_a_deadline(place: Place) -> None:
    server = place.uvicorn("coroutine", LAST_WORDS="30", GRADEWATCH_WORKER__DRAIN="300ms")
    await server.serves("/colour")
    await place.beating()
    server.tell(signal.SIGTERM)
    await server.ended(15)
    assert (len(place.noted("asked")), place.noted("ended"), len(place.noted("own left"))) == (1, [], 1)
    assert [s.ended_at is not None for s in await place.sessions()] == [True]


async def test_a_job_in_work_at_the_end_goes_back_uncharged(place: Place) -> None:
    [job_id] = await place.submit(papers=180)
    server = place.uvicorn("grading", GRADEWATCH_WORKER__DRAIN="200ms")

    async def begun() -> bool:
        job = await place.store.job(job_id)
        assert job is not None
        assert not job.state.finished, "it was too quick for this test"
        return job.progress_done > 2

    await until(begun, "it grades")
    server.tell(signal.SIGTERM)
    await server.ended(20)
    job = await place.store.job(job_id)
    assert job is not None
    assert (job.state, job.attempt) == (JobState.PENDING, 0)
    assert len(await place.store.papers(job_id)) >= 3, "every graded paper is kept"


async def test_routes_without_a_worker_and_without_a_store(place: Place) -> None:
    server = place.uvicorn("routes_only", GRADEWATCH_STORE__URL="sqlite:////no/such/folder/jobs.db")
    await server.serves("/colour")
    code, body = await asked(server, "/readyz")
    assert (code, "store_" in body) == (503, True)
    code, status = await asyncio.to_thread(server.status)
    assert (code, status["worker_running"], status["jobs"]) == (503, False, [])
    assert "store" in status["error"]
    assert (await asked(server, "/livez"))[0] == 200
    _, metrics = await asked(server, "/metrics")
    assert 'gradewatch_store_up{store="sqlite"} 0.0' in metrics
    assert "gradewatch_queue_depth{" not in metrics
    assert "gradewatch_worker_up" not in metrics


async def test_the_same_on_postgresql(place_on_postgres: Place) -> None:
    place = place_on_postgres
    [job_id] = await place.submit()
    server = place.uvicorn("grading", workers=2)
    await server.serves("/colour")

    async def graded() -> bool:
        job = await place.store.job(job_id)
        return job is not None and job.state is JobState.SUCCEEDED

    await until(graded, "the job is graded")
    [session] = await place.beating()
    os.kill(session.pid, signal.SIGKILL)

    async def taken_over() -> bool:
        live = [s for s in await place.sessions() if s.ended_at is None and s.beats and s.id != session.id]
        return [s.name for s in live] == [session.name]

    await until(taken_over, "another process takes the worker over")
    code, status = await asyncio.to_thread(server.status, "/gradewatch")
    assert (code, status["status_counts"]["succeeded"]) == (200, 1)
    server.tell(signal.SIGTERM)
    await server.ended()
