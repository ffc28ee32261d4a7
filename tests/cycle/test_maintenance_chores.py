"""Retention and maintenance windows, over a real store."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from watch_kit import Time, bring_back, claimed, job, new, settings, take_away, taken_away

from gradewatch import chores as chores_module
from gradewatch.chores import Chores, open_for
from gradewatch.config import RetentionSettings, parse_window
from gradewatch.model import Claimed, ControlFacts, Finish, FinishKind, Pause
from gradewatch.stores.sqlite import SqliteStore

DAY = 86400.0


def chores(store: Any, *windows: str, **retention: float) -> Chores:
    by = replace(settings(watch={"maintenance": windows}), retention=RetentionSettings(**retention))
    return Chores(store, store, by)


# ---------------------------------------------------------------- retention


async def finished(store: SqliteStore, count: int) -> list[str]:
    session, jobs = await claimed(store, count)
    await store.finish([Finish(Claimed(j.id, j.token), FinishKind.SUCCEED) for j in jobs])
    await store.end_session(session, "it drained")
    return [j.id for j in jobs]


async def test_what_is_older_than_its_retention_goes_and_the_rest_stays(store: SqliteStore, time: Time) -> None:
    old = await finished(store, 2)
    [waiting] = await store.submit(new(queue="elsewhere"))
    time.go(6 * DAY)
    young = await finished(store, 1)
    time.go(1.5 * DAY)
    keeping = chores(store, finished=7 * DAY, audit=7 * DAY)
    with capture_logs() as logs:
        await keeping.purge()
    assert [await store.job(id) for id in old] == [None, None]
    assert (await job(store, young[0])).finished_at is not None
    assert (await job(store, waiting)).finished_at is None, "what is not finished is never too old"
    assert [line["rows"] for line in logs] == [3], "two jobs, one session"


async def test_the_audit_trail_has_an_age_of_its_own(store: SqliteStore, time: Time) -> None:
    [id] = await store.submit(new())
    await store.operate(id, "fail", by="ann", sweep="s", message="")
    time.go(10 * DAY)
    await chores(store, finished=5 * DAY, audit=20 * DAY).purge()
    assert await store.job(id) is None
    assert len(await store.audit()) == 1
    time.go(11 * DAY)
    await chores(store, finished=5 * DAY, audit=20 * DAY).purge()
    assert await store.audit() == []


async def test_one_round_deletes_all_that_is_old_however_much(
    store: SqliteStore, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A queue that finishes more in an hour than one batch holds must not grow for ever."""
    monkeypatch.setattr(chores_module, "PURGE_BATCH", 20)
    ids = await finished(store, 70)
    time.go(2 * DAY)
    await chores(store, finished=DAY).purge()
    assert {await store.job(id) for id in ids} == {None}


async def test_a_store_that_is_away_puts_retention_off(store: SqliteStore, time: Time, path: Path) -> None:
    ids = await finished(store, 1)
    time.go(2 * DAY)
    keeping = chores(store, finished=DAY)
    with capture_logs() as logs, taken_away(path):
        await keeping.purge()
    assert [line["event"] for line in logs] == ["retention put off"]
    await keeping.purge()
    assert await store.job(ids[0]) is None


# ---------------------------------------------------------------- when a window is open

SUNDAYS = "0 2 * * sun 90m"
SUNDAY = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("clock", "left"),
    [
        ("01:59:59", 0),
        ("02:00:00", 90 * 60),
        ("02:30:00", 60 * 60),
        ("03:29:59", 1),
        ("03:30:00", 0),
        ("12:00:00", 0),
    ],
)
def test_a_window_is_open_for_its_length(clock: str, left: float) -> None:
    hours, minutes, seconds = map(int, clock.split(":"))
    now = SUNDAY + timedelta(hours=hours, minutes=minutes, seconds=seconds)
    assert open_for(parse_window(SUNDAYS), now) == left
    assert open_for(parse_window(SUNDAYS), now + timedelta(days=1)) == 0


def test_of_windows_that_overlap_the_last_one_counts() -> None:
    often = parse_window("*/10 * * * * 15m")
    assert open_for(often, SUNDAY + timedelta(minutes=14)) == 11 * 60
    assert open_for(often, SUNDAY + timedelta(minutes=10)) == 15 * 60


# ---------------------------------------------------------------- what a window does


def around(now: datetime, minutes_ago: int, length: str) -> str:
    """A daily window that opened so many minutes ago."""
    opened = now - timedelta(minutes=minutes_ago)
    return f"{opened.minute} {opened.hour} * * * {length}"


def _left(pause: Pause, time: Time) -> float:
    assert pause.until is not None
    return (pause.until - time.wall()).total_seconds()


async def facts(store: SqliteStore) -> ControlFacts:
    return await store.control({})


async def test_a_window_holds_repairs_for_its_length(store: SqliteStore, time: Time) -> None:
    await chores(store).pause(5400.0)
    pause = (await facts(store)).pause
    assert pause is not None
    assert pause.by == "maintenance window"
    assert _left(pause, time) == pytest.approx(5400, abs=5)
    time.go(5400)
    assert (await facts(store)).pause is None


async def entered(store: Any, *windows: str) -> Chores:
    """Chores that were started, as when the process does."""
    one = chores(store, *windows)
    await one.start()
    return one


async def test_a_process_that_starts_within_a_window_enters_it_late(store: SqliteStore, time: Time) -> None:
    now = datetime.now(UTC)
    one = await entered(store, around(now, 30, "2h"))
    one.stop()
    pause = (await facts(store)).pause
    assert pause is not None
    assert 89 * 60 < _left(pause, time) <= 91 * 60


async def test_a_process_that_starts_outside_of_it_does_not(store: SqliteStore) -> None:
    one = await entered(store, around(datetime.now(UTC), 120, "1h"))
    one.stop()
    assert (await facts(store)).pause is None


async def test_a_window_is_entered_when_its_moment_comes(store: SqliteStore) -> None:
    one = chores(store, "0 2 * * * 1h")
    await one.start()
    try:
        [window] = [j for j in one._scheduler.get_jobs() if j.id.startswith("maintenance")]
        assert window.next_run_time.astimezone(UTC).hour == 2
        assert (await facts(store)).pause is None or datetime.now(UTC).hour == 2
        window.modify(next_run_time=datetime.now(UTC))
        await _until_paused(store)
    finally:
        one.stop()


async def _until_paused(store: SqliteStore) -> None:
    async with asyncio.timeout(10):
        while (await facts(store)).pause is None:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("seconds", [None, 7200.0])
async def test_a_persons_longer_pause_stays(store: SqliteStore, time: Time, seconds: float | None) -> None:
    """A window that ends first must not end what a person has paused until he resumes."""
    pause = await store.pause(seconds, by="ann", reason="moving house")
    await chores(store).pause(3600.0)
    assert (await facts(store)).pause == pause


async def test_a_persons_shorter_pause_is_prolonged(store: SqliteStore, time: Time) -> None:
    await store.pause(60, by="ann")
    await chores(store).pause(3600.0)
    pause = (await facts(store)).pause
    assert pause is not None
    assert _left(pause, time) == pytest.approx(3600, abs=5)


async def test_a_window_that_opens_while_the_store_is_away_is_entered_when_it_is_back(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chores_module, "TRY_AGAIN", 0.05)
    take_away(path)
    with capture_logs() as logs:
        one = await entered(store, around(datetime.now(UTC), 30, "2h"))
    try:
        assert [line["log_level"] for line in logs if "maintenance" in line["event"]] == ["error"]
        bring_back(path)
        await _until_paused(store)
    finally:
        one.stop()


async def test_a_window_that_is_over_before_the_store_is_back_is_not_entered(store: SqliteStore, path: Path) -> None:
    one = chores(store)
    with taken_away(path):
        await one.pause(60)
    [again] = one._scheduler.get_jobs()
    assert again.func == one._enter
    await again.func(again.args[0] - timedelta(seconds=61))
    assert (await facts(store)).pause is None
    await again.func(*again.args)
    assert (await facts(store)).pause is not None


async def test_stopping_what_was_not_started_is_fine(store: SqliteStore) -> None:
    chores(store).stop()
