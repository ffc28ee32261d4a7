"""The clock stepped by an hour under running processes: nobody is blamed for it."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping

import pytest
import stepped_clock
from chaos_kit import Scene, until
from stepped_clock import HOUR, step

pytestmark = pytest.mark.acceptance


@pytest.fixture
def stepped(scene: Scene) -> Mapping[str, str]:
    return stepped_clock.environment(scene)


@pytest.mark.parametrize("seconds", [HOUR, -HOUR], ids=["forward", "backward"])
async def test_the_clock_is_stepped_while_jobs_run_and_wait(
    scene: Scene, stepped: Mapping[str, str], seconds: float
) -> None:
    run = scene.start(
        "run", environ=stepped, WORKER__PROCESSES="2", TIMEOUTS__HEARTBEAT="6s", REMEDIATION__START_GRACE="30s"
    )
    before = {session.id for session in await scene.workers(2)}
    ids = await scene.submit(4, papers=80)
    await scene.half_way(ids[0])
    step(scene, seconds)

    (finding,) = await until(lambda: run.lines("finding", code="clock_skew"), "the watch sees the step")
    assert finding["subject"] == "sqlite"
    await until(lambda: run.lines("finding gone", code="clock_skew"), "the next cycle sees no step")
    await scene.graded_once(ids)
    assert await scene.story() == [], "nobody was failed, taken back or restarted for it"
    assert {s.id for s in await scene.store.sessions() if s.ended_at is None} == before
    assert {j.token for j in await scene.jobs(ids)} == {1}
    codes = {line["code"] for line in run.lines("finding")}
    assert codes <= {"clock_skew", "workers_saturated"}


@pytest.mark.parametrize("seconds", [HOUR, -HOUR], ids=["forward", "backward"])
async def test_a_worker_killed_after_the_step_is_restarted_as_ever(
    scene: Scene, stepped: Mapping[str, str], seconds: float
) -> None:
    """An earlier restart lies in another hour now: neither its cool-down nor its verification may stand in the way."""
    run = scene.start("run", environ=stepped)
    ids = await scene.submit(3, papers=80)
    first = await scene.half_way(ids[0])
    os.kill((await scene.session_of(first)).pid, signal.SIGKILL)
    await until(lambda: len(run.lines("restart verified")) == 1, "the first restart is verified")
    step(scene, seconds)
    await until(lambda: run.lines("finding gone", code="clock_skew"), "the watch has seen the step")

    second = await scene.half_way(ids[1])
    os.kill((await scene.session_of(second)).pid, signal.SIGKILL)
    await scene.graded_once(ids)
    await until(lambda: len(run.lines("restart verified")) == 2, "the second restart is verified")
    assert await scene.story() == [
        ("requeue", "applied", first.id),
        ("restart", "applied", "worker-1"),
        ("requeue", "applied", second.id),
        ("restart", "applied", "worker-1"),
    ]
    assert not run.lines("restart did not help")
