"""The real commands over a real PostgreSQL: workers and watches killed, the server killed, connections cut, its main
table locked, a clock an hour off, and a pooler in between that loses its clients."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from datetime import datetime
from pathlib import Path

import postgres_server
import psycopg
import pytest
import scenarios
import stepped_clock
from chaos_kit import DEADLINE, LOOK, Scene, Service, later, until
from pooler import Pooler
from postgres_server import Server

from gradewatch.stores.postgres import PostgresStore

pytestmark = pytest.mark.acceptance

CUTS = 5  # times that all connections are lost
NUMBERS = itertools.count(1)
WAITING = """
SELECT substring(query FROM 'SELECT gradewatch."(\\w+)"') FROM pg_stat_activity
WHERE datname = current_database() AND state = 'active' AND wait_event_type = 'Lock'
"""
CUT = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


class PostgresScene(Scene):
    """A scene over a database of its own. The folder holds the logs alone."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.server = server
        super().__init__(folder)

    def _settle(self, folder: Path) -> None:
        self.name = f"scene_{next(NUMBERS)}"
        self.server.sql(f"CREATE DATABASE {self.name}")
        self.url = self.environ["GRADEWATCH_STORE__URL"] = self.server.url(self.name)
        self.store = PostgresStore(self.url, timeout=10.0)  # type: ignore[assignment]

    def count(self, table: str, **equal: str) -> int:
        where = " AND ".join(f"{name} = '{value}'" for name, value in equal.items())
        ((found,),) = self.server.sql(f"SELECT count(*) FROM gradewatch.{table} WHERE {where}", self.name)
        return int(str(found))

    def locked(self) -> bool:
        """No moment to freeze a process is a bad one: each call is one message, which the server ends by itself."""
        return False

    def cut(self) -> None:
        """End every server process of this database, and see them gone."""
        self.server.sql(CUT, self.name)

    def waiting(self) -> set[str]:
        """The functions whose calls wait for a lock now."""
        return {str(function) for (function,) in self.server.sql(WAITING, self.name)}

    @contextmanager
    def jobs_locked(self) -> Iterator[psycopg.Connection]:
        """Somebody's forgotten transaction has the table of jobs for itself, until it is closed."""
        with closing(psycopg.connect(self.url)) as hand:
            hand.execute("LOCK TABLE gradewatch.jobs")
            yield hand

    @asynccontextmanager
    async def caught(self, *functions: str) -> AsyncIterator[psycopg.Connection]:
        """The same, from a moment on at which calls of these functions are under way."""
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            with self.jobs_locked() as hand:
                await until(later(0.2), "they come to the lock")
                if set(functions) <= self.waiting():
                    yield hand
                    return
            await until(later(LOOK), "they go on")
        raise AssertionError(f"never seen together: {functions}")

    async def clear(self) -> None:
        try:
            await super().clear()
        finally:
            self.server.sql(f"DROP DATABASE {self.name} WITH (FORCE)")


@asynccontextmanager
async def opened(folder: Path, server: Server) -> AsyncIterator[PostgresScene]:
    made = PostgresScene(folder, server)
    try:
        await made.open()
        yield made
    finally:
        await made.clear()


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[PostgresScene]:
    async with opened(tmp_path, postgres_server.server()) as made:
        yield made


@pytest.fixture
async def mortal(tmp_path: Path) -> AsyncIterator[PostgresScene]:
    """A scene over a server of its own, which may be killed."""
    server = postgres_server.new_server(durable=True)
    try:
        async with opened(tmp_path, server) as made:
            yield made
    finally:
        server.remove()


# ---------------------------------------------------------------- workers and watches


async def test_a_supervised_worker_killed_half_way(scene: PostgresScene) -> None:
    await scenarios.supervised_worker_killed(scene, papers=80)


async def test_a_worker_stopped_and_continued(scene: PostgresScene) -> None:
    await scenarios.worker_stopped_and_continued(scene, papers=80)


async def test_the_watch_is_killed_in_the_middle_of_a_repair(scene: PostgresScene) -> None:
    await scenarios.watch_killed_in_mid_repair(scene, lost=120, budget=100, begun=4)  # they take 4 ms each


# ---------------------------------------------------------------- the server


@asynccontextmanager
async def killed(scene: PostgresScene) -> AsyncIterator[None]:
    await asyncio.to_thread(scene.server.kill)
    yield
    await asyncio.to_thread(scene.server.start)


async def test_the_server_is_killed_and_away_for_a_while(mortal: PostgresScene) -> None:
    await scenarios.store_taken_away(mortal, killed)


async def test_the_server_is_killed_in_mid_claim_and_in_mid_paper(mortal: PostgresScene) -> None:
    """Once before those calls are done, and once while they are being done: what was not acknowledged may be either."""
    scene = mortal
    workers = [scene.start("worker", WORKER__SLOTS="2"), scene.start("worker", WORKER__SLOTS="2")]
    watch = scene.start("watch")
    before = {session.id for session in await scene.workers(2)}
    await watch.cycles(1)
    ids = await scene.submit(60, papers=4)
    for kills, in_the_act in ((1, False), (2, True)):
        async with scene.caught("claim", "save_paper") as hand:
            if in_the_act:
                hand.close()
            await asyncio.to_thread(scene.server.kill)
        await until(lambda n=kills: _told(watch, "finding") == n, "the watch says so")
        await asyncio.to_thread(scene.server.start)
        await until(lambda n=kills: _told(watch, "finding gone") == n, "the watch says that it is over")
    await _nobody_blamed(scene, ids, before)
    assert [service.process.poll() for service in (*workers, watch)] == [None] * 3


# ---------------------------------------------------------------- the ways to it


async def test_every_connection_is_cut_again_and_again(scene: PostgresScene) -> None:
    await _cut_again_and_again(scene, scene.cut)


@asynccontextmanager
async def jobs_locked(scene: PostgresScene) -> AsyncIterator[None]:
    with scene.jobs_locked():
        yield


async def test_the_table_of_jobs_stays_locked(scene: PostgresScene) -> None:
    await scenarios.store_taken_away(scene, jobs_locked, answers=True)


@pytest.fixture
def pooler(scene: PostgresScene) -> Iterator[Pooler]:
    made = Pooler(scene.server.port, scene.name)
    yield made
    made.close()


async def test_a_pooler_loses_its_clients_again_and_again(scene: PostgresScene, pooler: Pooler) -> None:
    await _cut_again_and_again(scene, pooler.drop, STORE__URL=scene.server.url(scene.name, port=pooler.port))
    assert scene.services[0].lines("a pooler stands before the store: polling instead of listening")


async def test_a_pooler_loses_the_answers_to_a_claim_and_to_a_paper(scene: PostgresScene, pooler: Pooler) -> None:
    """The jobs are the worker's by then, and it knows nothing of them: it must find out and hand them back. The paper
    is written by then, and is sent again."""
    worker = scene.start("worker", WORKER__SLOTS="2", STORE__URL=scene.server.url(scene.name, port=pooler.port))
    scene.start("watch")
    before = {session.id for session in await scene.workers(1)}
    ids = await scene.submit(60, papers=4)
    async with scene.caught("claim", "save_paper"):
        pooler.drop()
    await until(lambda: worker.lines("processing job", attempt=1, token=2), "it runs what it handed back")
    await _nobody_blamed(scene, ids, before)


async def _cut_again_and_again(scene: PostgresScene, cut: Callable[[], None], **settings: str) -> None:
    worker, watch = scene.start("worker", WORKER__SLOTS="2", **settings), scene.start("watch", **settings)
    before = {session.id for session in await scene.workers(1)}
    await watch.cycles(1)
    ids = await scene.submit(4, papers=60)
    await scene.half_way(ids[0])
    for _ in range(CUTS):
        await asyncio.to_thread(cut)
        await until(later(0.3), "they connect again")
    assert worker.lines("store unreachable"), "the worker met it"
    await _nobody_blamed(scene, ids, before)
    assert (worker.process.poll(), watch.process.poll()) == (None, None)


# ---------------------------------------------------------------- the clocks


@pytest.mark.parametrize("seconds", [stepped_clock.HOUR, -stepped_clock.HOUR], ids=["ahead", "behind"])
async def test_our_clock_is_an_hour_from_the_database_s(scene: PostgresScene, seconds: float) -> None:
    """It is told; ages go by the database's clock alone: nobody is failed, and a killed worker is restarted as ever."""
    environ = stepped_clock.environment(scene)
    stepped_clock.step(scene, seconds)
    await scenarios.supervised_worker_killed(scene, papers=80, environ=environ)
    (run,) = scene.services
    (finding,) = run.lines("finding", code="clock_skew")
    assert finding["subject"] == "postgres"
    assert abs((await scene.store.check([])).clock_offset) < 60, "the database keeps our time"
    assert abs(datetime.fromisoformat(finding["timestamp"]).timestamp() - time.time() - seconds) < 300


# ---------------------------------------------------------------- afterwards


async def _nobody_blamed(scene: PostgresScene, ids: list[str], sessions: set[str]) -> None:
    """Every paper graded once, nobody failed or taken back, and the workers are the same as before."""
    await scene.graded_once(ids)
    assert (await scene.store.stats("default")).finished_total["succeeded"] == len(ids), "none was finished twice"
    assert await scene.story() == []
    assert {s.id for s in await scene.store.sessions() if s.ended_at is None} == sessions


def _told(watch: Service, event: str) -> int:
    return len(watch.lines(event, code="store_unreachable"))
