"""Workers killed, stopped and continued: their jobs are taken back, and nothing is graded twice."""

from __future__ import annotations

import os
import signal
import time

import pytest
import scenarios
from chaos_kit import Scene, until

from gradewatch.model import Outcome

pytestmark = pytest.mark.acceptance


async def test_a_supervised_worker_killed_half_way(scene: Scene) -> None:
    _, victim = await scenarios.supervised_worker_killed(scene, papers=80)
    (ended,) = [s for s in await scene.store.sessions() if s.id == victim.id]
    assert ended.end_reason.startswith("died: its process ended: killed by SIGKILL")


async def test_an_unsupervised_worker_killed_half_way(scene: Scene) -> None:
    ids = await scene.submit(2, papers=80)
    scene.start("worker")
    scene.start("worker")
    watch = scene.start("watch")
    await scene.workers(2)
    job = await scene.half_way(ids[0])
    victim = await scene.session_of(job)
    os.kill(victim.pid, signal.SIGKILL)
    killed = time.monotonic()

    await until(lambda: watch.lines("repair", subject=job.id), "the job is taken back")
    assert time.monotonic() - killed > 1.5, "taken back for its silence, and not sooner"
    await scene.graded_once(ids)
    assert await scene.story() == [("requeue", "applied", job.id)]
    (requeue,) = await scene.audit()
    assert "is suspect: no beat for" in requeue.message
    (ended,) = [s for s in await scene.store.sessions() if s.id == victim.id]
    assert ended.end_reason.startswith("silent: no beat for")


async def test_a_worker_stopped_and_continued(scene: Scene) -> None:
    await scenarios.worker_stopped_and_continued(scene, papers=80)


async def test_a_hung_supervised_worker_is_restarted(scene: Scene) -> None:
    """Its process is there, and silent for twice the heartbeat timeout."""
    ids = await scene.submit(2, papers=80)
    run = scene.start("run")
    job = await scene.half_way(ids[0])
    victim = await scene.session_of(job)
    await scene.freeze(victim.pid)

    await scene.graded_once(ids)
    await until(lambda: run.lines("restart verified", worker="worker-1"), "the restart is verified")
    assert await scene.story() == [("requeue", "applied", job.id), ("restart", "applied", "worker-1")]
    requeue, restart = await scene.audit()
    assert "so it hangs or is stopped" in requeue.message
    assert "hangs" in restart.message
    assert restart.outcome is Outcome.APPLIED
    assert victim.pid not in [process.pid for process in scene.processes()]
