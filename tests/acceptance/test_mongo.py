"""The real commands over MongoDB: a worker killed, the watch killed in mid-repair, the server killed and away."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import scenarios
from chaos_kit import Scene, later, until

from gradewatch.model import JobState, Outcome
from gradewatch.stores.mongo import MongoStore

sys.path.append(str(Path(__file__).parents[1] / "stores"))
import mongo_server

pytestmark = pytest.mark.acceptance

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

    def count(self, table: str, **equal: str) -> int:
        with self.server.client() as hand:
            return hand["scene"][f"gradewatch_{table}"].count_documents(equal)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[MongoScene]:
    made = MongoScene(tmp_path)
    try:
        await made.open()
        yield made
    finally:
        await made.clear()


async def test_a_supervised_worker_killed_half_way(scene: MongoScene) -> None:
    await scenarios.supervised_worker_killed(scene, papers=80)


async def test_the_watch_is_killed_in_the_middle_of_a_repair(scene: MongoScene) -> None:
    await scenarios.watch_killed_in_mid_repair(scene, lost=30, budget=20, begun=4)


async def test_the_server_is_killed_and_away_for_a_while(scene: MongoScene) -> None:
    """Worker and watch outlast it, and nobody is blamed for it."""
    worker, watch = scene.start("worker", STORE__TIMEOUT="1s"), scene.start("watch", STORE__TIMEOUT="1s")
    await scene.workers(1)
    await watch.cycles(2)
    first, second = await scene.submit(2, papers=80)
    await scene.half_way(first)

    await asyncio.to_thread(scene.server.kill)
    await until(lambda: watch.lines("finding", code="store_unreachable"), "the watch says so")
    await until(later(AWAY), "the outage lasts")
    await asyncio.to_thread(scene.server.start)

    await scene.graded_once([first, second])
    assert (worker.process.poll(), watch.process.poll()) == (None, None)
    assert [e.action for e in await scene.audit() if e.outcome is Outcome.APPLIED] == []
    assert [job.state for job in await scene.jobs([first, second])] == [JobState.SUCCEEDED] * 2
