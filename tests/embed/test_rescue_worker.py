"""The watch runs a worker itself while no real one lives: real processes, killed and replaced."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from typing import Any

import psutil
from embed_kit import Place, Server, free_port, until

from gradewatch.model import JobState, Session

RESCUE = {
    "GRADEWATCH_WATCH__RESCUE": "true",
    "GRADEWATCH_WATCH__RESCUE_AFTER": "1s",
    "GRADEWATCH_REMEDIATION__COOLDOWN": "200ms",
    "GRADEWATCH_REMEDIATION__LEASE": "3s",
}


async def watching(place: Place, **environ: str) -> Server:
    port = free_port()
    watch = place.start("gradewatch", "watch", port=port, GRADEWATCH_HTTP__PORT=str(port), **environ)
    await watch.serves("/livez")
    return watch


async def live(place: Place, prefix: str) -> list[Session]:
    return [s for s in await place.sessions() if s.ended_at is None and s.beats and s.name.startswith(prefix)]


async def succeeded(place: Place, ids: list[str]) -> bool:
    jobs = [await place.store.job(job_id) for job_id in ids]
    return all(job is not None and job.state is JobState.SUCCEEDED for job in jobs)


async def asked(watch: Server, path: str) -> Any:
    return json.loads((await asyncio.to_thread(watch.get, path))[1])


async def trail(place: Place) -> list[tuple[str, str, str]]:
    return [(e.action, e.outcome.value, e.subject) for e in reversed(await place.store.audit())]


async def test_jobs_are_worked_until_a_real_worker_is_back(place: Place) -> None:
    ids = await place.submit(jobs=2)
    watch = await watching(place, **RESCUE)
    await until(lambda: succeeded(place, ids), "the jobs are graded without any worker of ours")
    [rescuer] = await until(lambda: live(place, "rescue-"), "the rescue worker beats")
    assert rescuer.queues == ("rescue:default",)
    assert await trail(place) == [("rescue", "applied", "rescue:default")]

    async def found() -> bool:
        findings = (await asked(watch, "/api/findings"))["findings"]
        never = [f for f in findings if f["code"] == "worker_never_seen"]
        return any("a rescue worker runs its jobs meanwhile" in line for f in never for line in f["evidence"])

    await until(found, "the finding stays, and says who works")
    code, status = await asyncio.to_thread(watch.status)
    assert (code, status["worker_running"], status["worker_configured"]) == (503, False, False)
    assert status["error"].endswith("; a rescue worker runs its jobs meanwhile")
    metrics = (await asyncio.to_thread(watch.get, "/metrics"))[1]
    assert 'gradewatch_rescue_workers{queue="default"} 1.0' in metrics
    assert 'gradewatch_workers{queue="default",verdict="alive"} 0.0' in metrics
    assert 'gradewatch_remediations_total{action="rescue",outcome="applied"} 1.0' in metrics

    place.start("gradewatch", "worker")
    await until(lambda: _ended(place, rescuer.id), "the rescue worker drains")
    [ended] = [s for s in await place.sessions() if s.id == rescuer.id]
    assert ended.end_reason == "drained"
    assert await trail(place) == [("rescue", "applied", "rescue:default")] * 2
    assert "is back: beat" in (await place.store.audit())[0].message
    more = await place.submit(jobs=1)
    await until(lambda: succeeded(place, more), "the real one works")
    assert await live(place, "rescue-") == []
    assert not [s for s in await place.sessions() if s.name.startswith("rescue-") and s.id != rescuer.id]


async def _ended(place: Place, session: str) -> bool:
    return any(s.id == session and s.ended_at is not None for s in await place.sessions())


async def test_a_killed_rescue_worker_is_replaced_and_ends_with_its_watch(place: Place) -> None:
    [job_id] = await place.submit(papers=150)
    watch = await watching(place, **RESCUE)
    [first] = await until(lambda: live(place, "rescue-"), "the rescue worker beats")

    async def half_way() -> bool:
        job = await place.store.job(job_id)
        assert job is not None
        assert not job.state.finished, "it was too quick for this test"
        return job.progress_done > 3

    await until(half_way, "it grades")
    os.kill(first.pid, signal.SIGKILL)

    async def replaced() -> list[Session]:
        return [s for s in await live(place, "rescue-") if s.id != first.id]

    [second] = await until(replaced, "another one is started")
    [dead] = [s for s in await place.sessions() if s.id == first.id]
    assert "killed by SIGKILL" in dead.end_reason
    os.kill(watch.process.pid, signal.SIGKILL)
    await until(lambda: not psutil.pid_exists(second.pid), "no rescue worker outlives its watch")


async def test_it_is_off_unless_it_is_set(place: Place) -> None:
    [job_id] = await place.submit()
    watch = await watching(place, GRADEWATCH_TIMEOUTS__SCHEDULE_TO_START="3s")

    async def failed() -> bool:
        job = await place.store.job(job_id)
        return job is not None and job.state is JobState.FAILED

    await until(failed, "it is failed for waiting")
    assert await place.sessions() == []
    assert not psutil.Process(watch.process.pid).children(recursive=True)
