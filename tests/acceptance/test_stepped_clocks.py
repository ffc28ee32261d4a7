"""The clock stepped by an hour under running processes: nobody is blamed for it.

libfaketime gives the processes a wall clock of their own, which a file moves while they run; the monotonic clock stays.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path

import pytest
from chaos_kit import Scene, until
from real_parts import need

pytestmark = pytest.mark.acceptance

LIBRARIES = (*Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), *Path("/usr/lib/faketime").glob("libfaketime.so.1"))
HOUR = 3600.0
# libfaketime 0.9.10 refuses clock_nanosleep(2) until a monotonic time, which is what Python sleeps by.
SLEEP = "import select, time\ntime.sleep = lambda seconds: select.select([], [], [], seconds)\n"


@pytest.fixture
def stepped(scene: Scene) -> Mapping[str, str]:
    """The environment of processes whose clock `step` moves."""
    need("libfaketime", bool(LIBRARIES), "apt-get install libfaketime")
    (scene.folder / "clock").write_text("+0\n")
    (scene.folder / "sitecustomize.py").write_text(SLEEP)
    return {
        "PYTHONPATH": os.pathsep.join(filter(None, (str(scene.folder), os.environ.get("PYTHONPATH")))),
        "LD_PRELOAD": str(LIBRARIES[0]),
        "FAKETIME_TIMESTAMP_FILE": str(scene.folder / "clock"),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_FORCE_MONOTONIC_FIX": "0",  # else waits of threads end at once or never, Python's own lock's too
    }


def step(scene: Scene, seconds: float) -> None:
    fresh = scene.folder / "clock.new"
    fresh.write_text(f"{seconds:+.0f}\n")
    fresh.rename(scene.folder / "clock")  # at once: nobody reads half a time
    scene.moved = seconds


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
