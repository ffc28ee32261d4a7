"""The real commands over MongoDB: a worker killed, the watch killed in mid-repair, the server killed and away."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from chaos_kit import Scene, later, until

from gradewatch.model import JobState, NewSession, Outcome
from gradewatch.stores.mongo import MongoStore

sys.path.append(str(Path(__file__).parents[1] / "stores"))
import mongo_server

pytestmark = pytest.mark.acceptance

LOST = 30  # jobs of one lost worker
BUDGET = 20  # of them may be taken back, until somebody raises the budget
AWAY = 5.0  # seconds: two heartbeat timeouts


class MongoScene(Scene):
    """A scene over a server of its own, which may be killed."""

    def _settle(self, folder: Path) -> None:
        self.server = mongo_server.new_server()
        self.url = self.environ["GRADEWATCH_STORE__URL"] = self.server.url("scene")
        self.store = MongoStore(self.url, timeout=10.0)  # type: ignore[assignment]

    async def clear(self) -> None:
        try:
            await super().clear()
        finally:
            self.server.remove()

    def count(self, collection: str, **query: str) -> int:
        """Straight from the server, while a process is to be caught in the act."""
        with self.server.client() as hand:
            return hand["scene"][f"gradewatch_{collection}"].count_documents(query)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[MongoScene]:
    made = MongoScene(tmp_path)
    try:
        await made.open()
        yield made
    finally:
        await made.clear()


async def test_a_supervised_worker_killed_half_way(scene: MongoScene) -> None:
    ids = await scene.submit(2, papers=40)
    run = scene.start("run")
    job = await scene.half_way(ids[0])
    os.kill((await scene.session_of(job)).pid, signal.SIGKILL)

    await scene.graded_once(ids)
    again = await scene.job(job.id)
    assert (again.lost, again.attempt, again.token) == (1, 2, 2)
    await until(lambda: run.lines("restart verified", worker="worker-1"), "the restart is verified")
    assert await scene.story() == [("requeue", "applied", job.id), ("restart", "applied", "worker-1")]


async def test_the_watch_is_killed_in_the_middle_of_a_repair(scene: MongoScene) -> None:
    """No job repaired twice, none forgotten, and what the killed watch has spent stays spent."""
    ids = await scene.submit(LOST, papers=1)
    session = await scene.store.open_session(
        NewSession(name="vanished", queues=("default",), slots=LOST, host="elsewhere", pid=1, version="0")
    )
    assert len(await scene.store.claim(session, ["default"], ["grade"], LOST)) == LOST
    await scene.store.beat(session, loop_age=0.0, busy=LOST)
    budget = {"REMEDIATION__BUDGET__REQUEUE": f"{BUDGET}/10m", "REMEDIATION__BATCH": "1"}
    first = scene.start("watch", **budget)
    await until(lambda: scene.count("audit", outcome="applied") >= 4, "the repair has begun")
    first.kill()
    await first.ended()
    assert scene.count("audit", outcome="applied") < BUDGET, "the watch was killed too late for this test"

    second = scene.start("watch", **budget)
    await until(lambda: second.lines("finding", code="remediation_budget_spent"), "the budget is spent")
    assert scene.count("audit", outcome="applied") == BUDGET
    assert scene.count("jobs", state="running") == LOST - BUDGET
    second.kill()

    scene.start("watch", REMEDIATION__BUDGET__REQUEUE=f"{2 * LOST}/10m")
    await until(lambda: scene.count("jobs", state="running") == 0, "the rest is taken back")
    times = Counter(e.subject for e in await scene.audit("requeue") if e.outcome is Outcome.APPLIED)
    assert times == Counter(ids)
    scene.start("worker")
    await scene.graded_once(ids)


async def test_the_server_is_killed_and_away_for_a_while(scene: MongoScene) -> None:
    """Worker and watch outlast it, and nobody is blamed for it."""
    worker, watch = scene.start("worker", STORE__TIMEOUT="1s"), scene.start("watch", STORE__TIMEOUT="1s")
    await scene.workers(1)
    await watch.cycles(2)
    first, second = await scene.submit(2, papers=40)
    await scene.half_way(first)

    await asyncio.to_thread(scene.server.kill)
    await until(lambda: watch.lines("finding", code="store_unreachable"), "the watch says so")
    await until(later(AWAY), "the outage lasts")
    await asyncio.to_thread(scene.server.start)

    await scene.graded_once([first, second])
    assert (worker.process.poll(), watch.process.poll()) == (None, None)
    assert [e.action for e in await scene.audit() if e.outcome is Outcome.APPLIED] == []
    assert [job.state for job in await scene.jobs([first, second])] == [JobState.SUCCEEDED] * 2
