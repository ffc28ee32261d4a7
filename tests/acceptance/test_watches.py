"""The watch killed in the middle of a repair, paused, rehearsed, and doubled."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from contextlib import closing

import pytest
import scenarios
from chaos_kit import Scene, Service, until

from gradewatch.model import JobState, Outcome

pytestmark = pytest.mark.acceptance


async def test_the_watch_is_killed_in_the_middle_of_a_repair(scene: Scene) -> None:
    await scenarios.watch_killed_in_mid_repair(scene, lost=150, budget=100, begun=10)


async def test_a_pause_holds_the_repairs_and_is_credited(scene: Scene) -> None:
    watch = scene.start("watch", TIMEOUTS__SCHEDULE_TO_START="6s")
    worker = scene.start("worker")
    await watch.url()
    await scene.workers(1)
    lost, waiting = await scene.submit(2, papers=80)
    await scene.half_way(lost)
    worker.kill()
    await worker.ended()
    await scene.run("pause", "--for", "1h", "--reason", "moving house")

    await until(lambda: _by_outcome(scene, "suppressed") == {("requeue", lost)}, "the repair is held")
    await until(lambda: _waited(scene, waiting) > 7, "the other job has waited too long, but for the pause")
    assert [j.state for j in await scene.jobs([lost, waiting])] == [JobState.RUNNING, JobState.PENDING]
    await scene.run("resume")
    await until(lambda: watch.lines("repair", subject=lost), "the repairs go on")
    watch.kill(signal.SIGTERM)
    await watch.ended()

    assert (await scene.job(waiting)).state is JobState.PENDING, "it was not failed for the time of the pause"
    scene.start("worker")
    await scene.graded_once([lost, waiting])
    assert await scene.story() == [("requeue", "suppressed", lost), ("requeue", "applied", lost)]
    held, _ = await scene.audit()
    assert "repairs are paused by" in held.message
    assert watch.lines("finding", code="queue_paused")


async def test_a_rehearsal_changes_nothing(scene: Scene) -> None:
    lost, late = await scene.submit(2, papers=3)
    await scenarios.claim_and_vanish(scene, 1)
    settings = {"TIMEOUTS__SCHEDULE_TO_START": "2500ms"}
    await until(lambda: _waited(scene, late) > 2.5, "one is lost and one is late")
    before = await scene.jobs([lost, late])
    done = await scene.run("watch", "--once", "--dry-run", "--json", code=1, **settings)

    told = {(r["action"], r["subject"]): r["outcome"] for r in json.loads(done.stdout)["results"]}
    assert told == {("requeue", lost): "dry_run", ("expire", late): "dry_run"}
    assert await scene.jobs([lost, late]) == before
    assert [s.ended_at for s in await scene.store.sessions()] == [None]
    assert sorted(await scene.story()) == [("expire", "dry_run", late), ("requeue", "dry_run", lost)]

    done = await scene.run("watch", "--once", "--json", code=1, **settings)
    told = {(r["action"], r["subject"]): r["outcome"] for r in json.loads(done.stdout)["results"]}
    assert told == {("requeue", lost): "applied", ("expire", late): "applied"}
    assert [j.state for j in await scene.jobs([lost, late])] == [JobState.PENDING, JobState.FAILED]


async def test_of_two_watches_one_acts_and_the_other_takes_over(scene: Scene) -> None:
    watches = [scene.start("watch"), scene.start("watch")]
    workers = [scene.start("worker"), scene.start("worker")]
    leader = await until(lambda: _leader(watches), "one of them acts")
    (other,) = (watch for watch in watches if watch is not leader)
    await scene.workers(2)
    ids = await _kill_one(scene, workers)
    await until(lambda: leader.lines("repair"), "the leader repairs")
    await leader.shows("gradewatch_leader", 1)
    await other.shows("gradewatch_leader", 0)
    assert not other.lines("this watch acts")

    leader.kill()
    killed = time.monotonic()
    await until(lambda: other.lines("this watch acts"), "the other one takes over")
    assert time.monotonic() - killed < 3 + 5, "within the lease, and a moment"
    workers.append(scene.start("worker"))
    ids += await _kill_one(scene, workers)
    await until(lambda: other.lines("repair"), "the other one repairs")
    scene.start("worker")
    await scene.graded_once(ids)
    applied = [e for e in await scene.audit() if e.outcome is Outcome.APPLIED]
    assert [e.action for e in applied] == ["requeue", "requeue"]
    assert [f":{watch.pid}:" in e.by for e, watch in zip(applied, (leader, other), strict=True)] == [True, True]


async def _kill_one(scene: Scene, workers: list[Service]) -> list[str]:
    """Kill a worker in the middle of a job."""
    ids = await scene.submit(1, papers=80)
    pid = (await scene.session_of(await scene.half_way(ids[0]))).pid
    os.kill(pid, signal.SIGKILL)
    (killed,) = (worker for worker in workers if worker.pid == pid)
    await killed.ended()
    return ids


def _leader(watches: list[Service]) -> Service | None:
    acting = [watch for watch in watches if watch.lines("this watch acts")]
    return acting[0] if acting and all(watch.lines("watch started") for watch in watches) else None


def _ask(scene: Scene, sql: str, *values: object) -> list[tuple[object, ...]]:
    """Straight from the file: asked hundreds of times a second, while a process is to be caught in the act."""
    with closing(sqlite3.connect(scene.database)) as file:
        return file.execute(sql, values).fetchall()


def _by_outcome(scene: Scene, outcome: str) -> set[tuple[object, ...]]:
    return set(_ask(scene, "SELECT action, subject FROM audit WHERE outcome = ?", outcome))


def _waited(scene: Scene, job_id: str) -> float:
    return time.time() - int(str(_ask(scene, "SELECT run_at FROM jobs WHERE id = ?", job_id)[0][0])) / 1e6
