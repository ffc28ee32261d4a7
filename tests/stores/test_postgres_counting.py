"""PostgreSQL: depth without counting rows, exact through concurrency, folding and what people do by hand."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import postgres_server
import psycopg
import pytest
from backends import opened
from store_kit import Hands, fence, new

from gradewatch.model import Finish, FinishKind, QueueStats
from gradewatch.stores.postgres import PostgresStore


@pytest.fixture
def url() -> str:
    return postgres_server.emptied()


@pytest.fixture
async def store(url: str) -> AsyncIterator[PostgresStore]:
    async with opened(PostgresStore(url)) as made:
        assert isinstance(made, PostgresStore)
        yield made


def by_hand(url: str, statement: str) -> int:
    """The number that the statement answers."""
    with psycopg.connect(url, autocommit=True) as hand:
        cursor = hand.execute(statement.encode())
        row = cursor.fetchone() if cursor.description else None
        return int(row[0]) if row and row[0] else 0


async def depth(store: PostgresStore) -> tuple[int, int]:
    stats = await store.stats("default")
    return stats.pending, stats.running


async def test_every_probe_sees_whole_changes_while_workers_and_folders_race(store: PostgresStore, url: str) -> None:
    """What was enqueued is always the sum of what waits, runs and is over: no probe sees half of a change."""
    chance = random.Random(20260302)
    over = asyncio.Event()
    readings: list[QueueStats] = []

    async def work() -> None:
        async with opened(PostgresStore(url)) as mine:
            hands = await Hands.open(mine)
            while not over.is_set():
                await mine.submit([new(max_attempts=99) for _ in range(chance.randint(1, 9))])
                jobs = await hands.claim(chance.randint(1, 9))
                kinds = chance.choices(list(FinishKind), k=len(jobs))
                await mine.finish([Finish(fence(job), kind) for job, kind in zip(jobs, kinds, strict=True)])

    async def fold() -> None:
        async with opened(PostgresStore(url)) as mine:
            assert isinstance(mine, PostgresStore)
            while not over.is_set():
                await mine._database.call("fold", most=chance.randint(1, 20))

    async def probe() -> None:
        async with asyncio.timeout(30):
            while len(readings) < 60:
                readings.append(await store.stats("default"))
        over.set()

    await asyncio.gather(probe(), fold(), work(), work())
    for stats in readings:
        assert stats.enqueued_total == stats.pending + stats.running + sum(stats.finished_total.values())
    totals = [stats.enqueued_total for stats in readings]
    assert totals == sorted(totals)
    assert totals[-1] > totals[0], "something happened meanwhile"
    counted = by_hand(url, "SELECT count(*) FROM gradewatch.jobs WHERE state = 'pending'")
    assert (await depth(store)) == (counted, 0)


async def test_probes_and_beats_fold_what_writers_leave(store: PostgresStore, url: str) -> None:
    hands = await Hands.open(store)
    for _ in range(20):
        await store.submit([new()])
    assert by_hand(url, "SELECT count(*) FROM gradewatch.deltas") == 40
    await store.beat(hands.session, loop_age=0, busy=0)
    assert by_hand(url, "SELECT count(*) FROM gradewatch.deltas") == 0
    await store.submit([new()])
    assert await depth(store) == (21, 0)
    assert by_hand(url, "SELECT count(*) FROM gradewatch.deltas") == 0


async def test_a_folder_that_is_stuck_holds_up_no_probe(store: PostgresStore, url: str) -> None:
    await store.submit([new()])
    with psycopg.connect(url) as stuck:
        stuck.execute("SELECT gradewatch.fold(100)")
        await store.submit([new()])
        assert await depth(store) == (2, 0), "neither twice nor not at all"
        stuck.rollback()
    assert await depth(store) == (2, 0)


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("UPDATE gradewatch.jobs SET state = 'failed', finished_at = now() WHERE state = 'pending'", (0, 2)),
        ("DELETE FROM gradewatch.jobs WHERE state = 'running'", (3, 0)),
        ("UPDATE gradewatch.jobs SET state = 'pending', started_at = NULL, session_id = NULL", (5, 0)),
        ("UPDATE gradewatch.jobs SET priority = 7", (3, 2)),
        ("TRUNCATE gradewatch.jobs CASCADE", (0, 0)),
    ],
)
async def test_what_people_do_by_hand_is_counted_too(
    store: PostgresStore, url: str, statement: str, expected: tuple[int, int]
) -> None:
    hands = await Hands.open(store)
    await store.submit([new() for _ in range(5)])
    await hands.claim(2)
    by_hand(url, statement)
    assert await depth(store) == expected


async def test_exact_depth_can_be_turned_off_and_on_again(store: PostgresStore, url: str) -> None:
    hands = await Hands.open(store)
    await store.submit([new() for _ in range(5)])
    by_hand(url, "SELECT gradewatch.exact_depth(false)")
    try:
        await store.check([])
        await store.submit([new() for _ in range(3)])
        await hands.claim(2)
        stats = await store.stats("default")
        assert (stats.pending, stats.running, stats.depth_exact) == (6, 2, True), "few rows are counted to their end"
        capped = await store._database.call("stats", of_queue="default", cap=4)
        assert (capped["pending"], capped["running"]) == ([4, False], [2, True]), "a floor, and said to be one"
        assert stats.enqueued_total == 5, "totals stand still"
    finally:
        by_hand(url, "SELECT gradewatch.exact_depth(true)")
    stats = await store.stats("default")
    assert (stats.pending, stats.running, stats.depth_exact) == (6, 2, True)
    await store.submit([new()])
    assert await depth(store) == (7, 2)
