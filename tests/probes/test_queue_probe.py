"""What the queue probe reads of a real store: lists, kinds, pages, the rate of arrivals."""

from __future__ import annotations

from typing import Any

import pytest
from watch_kit import Time, claimed, new

from gradewatch.config import QueueSettings, Timeouts
from gradewatch.errors import StoreUnavailable
from gradewatch.model import QueueFacts
from gradewatch.probes.queue import RATE_WINDOW, QueueProbe
from gradewatch.stores.sqlite import SqliteStore

LIMITS = Timeouts(schedule_to_start=60.0, start_to_close=120.0)


def probe(page: int = 100, **queue: Any) -> QueueProbe:
    return QueueProbe(QueueSettings(timeouts=LIMITS, **queue), page)


async def read(store: SqliteStore, of: QueueProbe | None = None, absent: tuple[str, ...] = (), mono: float = 0.0):
    return await (of or probe()).read(store, absent, mono)


def lists(facts: QueueFacts) -> tuple[list[str], list[str], list[str]]:
    return (
        [j.id for j in facts.overdue_pending],
        [j.id for j in facts.overdue_running],
        [j.id for j in facts.held_by_absent],
    )


async def test_an_empty_queue(store: SqliteStore) -> None:
    facts = await read(store)
    assert lists(facts) == ([], [], [])
    assert (facts.truncated, facts.unclaimed_since, facts.arrival_rate) == (False, None, None)
    assert (facts.stats.pending, facts.stats.running) == (0, 0)


async def test_waiting_jobs_are_listed_once_they_are_late_the_oldest_first(store: SqliteStore, time: Time) -> None:
    [first] = await store.submit(new())
    time.go(30)
    [second] = await store.submit(new())
    time.go(30)
    facts = await read(store)
    assert lists(facts)[0] == [], "sixty seconds are allowed"
    assert facts.unclaimed_since == (await store.job(first)).created_at  # type: ignore[union-attr]
    time.go(1)
    assert lists(await read(store))[0] == [first]
    time.go(30)
    assert lists(await read(store))[0] == [first, second]


async def test_running_jobs_are_listed_once_they_are_late(store: SqliteStore, time: Time) -> None:
    _, [job] = await claimed(store)
    time.go(120)
    assert lists(await read(store)) == ([], [], [])
    time.go(1)
    assert lists(await read(store)) == ([], [job.id], [])


async def test_jobs_of_absent_ended_and_unknown_sessions_are_held(store: SqliteStore) -> None:
    alive, _ = await claimed(store)
    silent, [lost] = await claimed(store)
    ended, [left] = await claimed(store)
    await store.end_session(ended, "it drained")
    assert lists(await read(store, absent=(silent,)))[2] == [lost.id, left.id]
    assert lists(await read(store))[2] == [left.id]
    assert len(lists(await read(store, absent=(silent, alive)))[2]) == 3


async def test_kinds_that_are_not_watched_are_in_no_list_and_hide_nothing(store: SqliteStore, time: Time) -> None:
    await store.submit(new(5, kind="unheard-of"))
    session, _ = await claimed(store)
    await store.submit(new(5, kind="unheard-of"))
    await store.claim(session, ["default"], ["unheard-of"], 5)
    await store.end_session(session, "gone")
    [own] = await store.submit(new())
    time.go(300)
    facts = await read(store, probe(page=2))
    assert lists(facts)[0] == [own]
    assert [j.kind for j in (*facts.overdue_running, *facts.held_by_absent)] == ["grade", "grade"]
    assert (facts.stats.pending, facts.stats.running, facts.truncated) == (6, 6, False)


async def test_a_full_page_is_told_and_the_next_page_follows_when_it_is_gone(store: SqliteStore, time: Time) -> None:
    ids = await store.submit(new(5))
    time.go(61)
    of = probe(page=3)
    facts = await read(store, of)
    assert (lists(facts)[0], facts.truncated) == (ids[:3], True)
    for id in ids[:3]:
        await store.operate(id, "fail", by="ann", sweep="s", message="")
    facts = await read(store, of)
    assert (lists(facts)[0], facts.truncated) == (ids[3:], False)


@pytest.mark.parametrize("which", ["running", "held"])
async def test_a_full_page_of_running_jobs_is_told_too(store: SqliteStore, time: Time, which: str) -> None:
    session, _ = await claimed(store, 3)
    if which == "held":
        assert (await read(store, probe(page=3), absent=(session,))).truncated
    time.go(121)
    assert (await read(store, probe(page=3))).truncated
    assert not (await read(store, probe(page=4), absent=(session,))).truncated


async def test_the_rate_of_arrivals_over_what_this_watch_has_seen(store: SqliteStore) -> None:
    of = probe()
    await store.submit(new(50))
    assert (await read(store, of, mono=0.0)).arrival_rate is None, "what was there before says nothing of a rate"
    await store.submit(new(20))
    assert (await read(store, of, mono=10.0)).arrival_rate == 2.0
    assert (await read(store, of, mono=40.0)).arrival_rate == 0.5


async def test_the_rate_forgets_what_is_older_than_its_window(store: SqliteStore) -> None:
    of = probe()
    await read(store, of, mono=0.0)
    await store.submit(new(100))
    await read(store, of, mono=10.0)
    assert (await read(store, of, mono=RATE_WINDOW)).arrival_rate == 100 / RATE_WINDOW
    assert (await read(store, of, mono=RATE_WINDOW + 5)).arrival_rate == 0.0


async def test_the_rate_begins_anew_with_another_database(store: SqliteStore, time: Time, tmp_path) -> None:
    of = probe()
    await store.submit(new(100))
    await read(store, of, mono=0.0)
    other = SqliteStore(tmp_path / "restored.db", clock=time)
    await other.migrate()
    await other.submit(new(10))
    assert (await read(other, of, mono=10.0)).arrival_rate is None
    await other.submit(new(10))
    assert (await read(other, of, mono=20.0)).arrival_rate == 1.0
    await other.close()


async def test_a_store_that_is_away_is_the_callers_to_hear_of(store: SqliteStore, path) -> None:
    path.unlink()
    with pytest.raises(StoreUnavailable):
        await read(store)
