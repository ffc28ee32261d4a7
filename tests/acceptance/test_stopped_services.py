"""Services stopped in order or not at all: no paper is lost, no process is left behind."""

from __future__ import annotations

import os
import signal

import pytest
from chaos_kit import Scene, Service, until

from gradewatch.model import Job, JobState

pytestmark = pytest.mark.acceptance


async def test_a_drain_gives_the_job_back_uncharged(scene: Scene) -> None:
    ids = await scene.submit(2, papers=150)
    first = scene.start("run", WORKER__DRAIN="200ms")
    job = await scene.half_way(ids[0])
    first.kill(signal.SIGTERM)
    assert await first.ended() == 0

    back = await scene.job(job.id)
    assert (back.state, back.attempt, back.lost, back.token) == (JobState.PENDING, 0, 0, 1)
    assert 0 < back.progress_done < back.progress_total, "what was graded is kept"
    assert first.lines("job released", job=job.id)
    assert {s.end_reason for s in await scene.store.sessions()} == {"drained"}
    assert scene.processes() == []
    second = scene.start("run")
    await scene.graded_once(ids)
    graded = [line["index"] for s in (first, second) for line in s.lines("paper graded", job=job.id)]
    assert len(graded) == len(set(graded)), "not one was even graded twice"
    assert await scene.story() == []


async def test_the_supervisor_is_killed(scene: Scene) -> None:
    """No worker outlives it, and another one takes up the work."""
    ids = await scene.submit(2, papers=250)
    first = scene.start("run", WORKER__PROCESSES="2", WORKER__DRAIN="200ms")
    await scene.half_way(ids[0])
    assert len(scene.processes()) == 3
    first.kill()
    await until(lambda: not scene.processes(), "no worker is left behind")

    assert {j.state for j in await scene.jobs(ids)} == {JobState.PENDING}
    assert {j.attempt for j in await scene.jobs(ids)} == {0}
    scene.start("run")
    await scene.graded_once(ids)
    assert await scene.story() == [], "the workers had given their jobs back themselves"


async def test_supervisor_and_workers_are_killed_at_once(scene: Scene) -> None:
    """As when the machine loses its power: a new run takes the jobs back for the silence of their workers."""
    ids = await scene.submit(2, papers=200)
    first = scene.start("run", WORKER__PROCESSES="2")
    await scene.half_way(ids[0])
    await scene.half_way(ids[1])
    first.kill(signal.SIGSTOP)  # so that it restarts nobody
    for worker in await scene.workers(2):
        os.kill(worker.pid, signal.SIGKILL)
    first.kill()
    await until(lambda: not scene.processes(), "all are dead")
    assert {j.state for j in await scene.jobs(ids)} == {JobState.RUNNING}

    scene.start("run")
    await scene.graded_once(ids)
    assert sorted(await scene.story()) == sorted(("requeue", "applied", job_id) for job_id in ids)


async def test_a_job_that_kills_its_worker_each_time(scene: Scene) -> None:
    """It fails as poison; the one that merely ran beside it is cleared by running alone."""
    poison, bystander = await scene.submit(2, papers=100)
    run = scene.start("run", WORKER__SLOTS="2")
    await until(lambda: _both_run(scene, poison, bystander), "both run beside each other")
    await _kill_whoever_runs(scene, poison, token=1)
    await _kill_whoever_runs(scene, poison, token=2)
    await _kill_whoever_runs(scene, poison, token=3)

    await scene.finished([poison])
    dead = await scene.job(poison)
    assert dead.error is not None
    assert (dead.state, dead.lost, dead.error.code) == (JobState.FAILED, 3, "job_poison")
    assert "when its worker died, 3 times" in dead.error.message
    assert "killed by SIGKILL" in dead.error.message
    await until(lambda: run.lines("finding", code="job_poison", subject=poison), "the watch says so")
    await scene.graded_once([bystander])
    cleared = await scene.job(bystander)
    assert (cleared.lost, cleared.token, cleared.run_alone) == (1, 2, True)
    await _ran_alone(run, bystander)
    jobs = [(action, subject) for action, outcome, subject in await scene.story() if action != "restart"]
    assert sorted(jobs) == sorted([("requeue", poison), ("requeue", bystander), ("requeue", poison), ("fail", poison)])
    shown = await scene.run("audit", "--job", poison, "--json")
    assert shown.stdout.count('"job_poison"') >= 1


async def _ran_alone(run: Service, job_id: str) -> None:
    """Its second attempt began when no other job was running, and none began before it ended."""
    events = [
        (line["event"], line["job"])
        for line in run.lines()
        if line["event"] in ("processing job", "job finished") and line.get("job")
    ]
    begun = len(events) - 1 - events[::-1].index(("processing job", job_id))
    assert events[begun:] == [("processing job", job_id), ("job finished", job_id)]


async def _both_run(scene: Scene, *ids: str) -> bool:
    return all(j.state is JobState.RUNNING and j.progress_done for j in await scene.jobs(ids))


async def _kill_whoever_runs(scene: Scene, job_id: str, *, token: int) -> None:
    """Kill the worker of that attempt as soon as it has beaten, so that the restart before it counts as a help."""

    async def victim() -> int | None:
        job: Job = await scene.job(job_id)
        assert not job.state.finished, "it was too quick for this test"
        if job.state is not JobState.RUNNING or job.token != token:
            return None
        session = await scene.session_of(job)
        return session.pid if session.beats > 0 else None

    os.kill(await until(victim, f"attempt {token} runs"), signal.SIGKILL)
