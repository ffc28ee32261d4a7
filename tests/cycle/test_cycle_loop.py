"""The loop around the cycle, in the event loop's own time: when it goes again, what wakes it, how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from builders import report
from watch_kit import Places, Time, Watch, claimed, new, place, settings, taken_away

from gradewatch.cycle import COALESCE, Cycle
from gradewatch.model import CycleReport, ExitCause, ExitKind
from gradewatch.stores.sqlite import SqliteStore

INTERVAL = 5.0


class Paced(Cycle):
    """The real loop; its cycles take no store, but note when they begin and report what they are given, the last one
    again and again."""

    def __init__(self, *reports: CycleReport, takes: float = 0.0) -> None:
        of = Watch(None, Time(), settings(watch={"interval": INTERVAL}))
        super().__init__(of.observer, of.remedies, of.lease, of.board, of.settings, Time())
        self.takes, self.began = takes, list[float]()
        self._reports = [replace(one, seconds=takes) for one in reports or (report(),)]

    async def run_once(self, *, acting: bool = True) -> CycleReport:
        self.began.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.takes)
        return self._reports.pop(0) if len(self._reports) > 1 else self._reports[0]

    async def run_for(self, seconds: float, *meanwhile: tuple[float, Callable[[], object]]) -> list[float]:
        """When each cycle began within so many seconds; things happen meanwhile."""
        loop = asyncio.get_running_loop()
        start, stop = loop.time(), asyncio.Event()
        for at, happens in (*meanwhile, (seconds, stop.set)):
            loop.call_later(at, happens)
        await self.run(stop)
        return [pytest.approx(at - start, abs=1e-3) for at in self.began]


@pytest.mark.looptime
async def test_it_goes_again_every_interval() -> None:
    assert await Paced().run_for(14) == [0, 5, 10]


@pytest.mark.looptime
async def test_the_time_a_cycle_takes_is_part_of_the_interval() -> None:
    assert await Paced(takes=2.0).run_for(14) == [0, 5, 10]


@pytest.mark.looptime
async def test_cycles_that_take_longer_than_the_interval_follow_one_another() -> None:
    assert await Paced(takes=7.0).run_for(20) == [0, 7, 14]


@pytest.mark.looptime
async def test_more_to_do_goes_again_at_once() -> None:
    more = report(more=True)
    assert await Paced(more, more, report()).run_for(8) == [0, 0, 0, 5]


@pytest.mark.looptime
async def test_what_is_due_sooner_is_honoured() -> None:
    assert await Paced(report(next_wake=1.5), report()).run_for(8) == [0, 1.5, 6.5]


@pytest.mark.looptime
async def test_what_is_due_later_does_not_delay_the_next_cycle() -> None:
    assert await Paced(report(next_wake=60.0)).run_for(8) == [0, 5]


@pytest.mark.looptime
async def test_events_that_come_together_wake_one_cycle() -> None:
    cycle = Paced()
    wakes = [(2 + n / 1000, cycle.wake) for n in range(10)]
    assert await cycle.run_for(6, *wakes) == [0, 2 + COALESCE]


@pytest.mark.looptime
async def test_an_event_in_the_middle_of_a_cycle_is_not_lost() -> None:
    cycle = Paced(takes=1.0)
    assert await cycle.run_for(5, (0.5, cycle.wake)) == [0, 1 + COALESCE]


@pytest.mark.looptime
async def test_a_stop_ends_the_rest_at_once() -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert await Paced().run_for(2.5) == [0]
    assert loop.time() - began == pytest.approx(2.5)


@pytest.mark.looptime
async def test_a_stop_lets_the_cycle_end_and_begins_no_other() -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert await Paced(report(more=True), takes=3.0).run_for(1) == [0]
    assert loop.time() - began == pytest.approx(3)


@pytest.mark.looptime
async def test_a_stop_before_the_first_cycle_runs_none() -> None:
    cycle, stop = Paced(), asyncio.Event()
    stop.set()
    await cycle.run(stop)
    assert cycle.began == []


# ---------------------------------------------------------------- with a real store


@asynccontextmanager
async def going(watch: Watch):
    """The watch's loop runs; afterwards it is stopped, and ends within seconds however long its interval is."""
    stop = asyncio.Event()
    running = asyncio.create_task(watch.cycle.run(stop))
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(running, 5)


async def reports(watch: Watch, count: int) -> list[CycleReport]:
    """The next reports, within ten seconds."""
    with watch.board.subscribe() as subscription:
        return [await asyncio.wait_for(subscription.next(), 10) for _ in range(count)]  # type: ignore[misc]


LAZY = settings(watch={"interval": 3600.0})


async def test_a_death_wakes_the_cycle_that_restarts(store: SqliteStore, time: Time) -> None:
    places = Places(place())
    watch = Watch(store, time, LAZY, places)
    places.on_event(lambda: watch.cycle.wake("platform"))
    async with going(watch):
        await reports(watch, 1)
        places.die("place-1", ExitCause(ExitKind.SIGNALLED, 9, "SIGKILL"))
        await reports(watch, 1)
        assert places.restarted == ["place-1"]


async def test_a_stopped_watch_leaves_its_lease_to_the_next(store: SqliteStore, time: Time) -> None:
    watch = Watch(store, time, LAZY)
    async with going(watch):
        assert [r.leader for r in await reports(watch, 1)] == [True]
    assert (await Watch(store, time, name="watch-2").cycle.run_once()).leader


async def test_a_cancelled_watch_leaves_its_lease_too(store: SqliteStore, time: Time) -> None:
    watch = Watch(store, time, LAZY)
    running = asyncio.create_task(watch.cycle.run(asyncio.Event()))
    await reports(watch, 1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (await Watch(store, time, name="watch-2").cycle.run_once()).leader


async def test_a_mass_is_worked_off_in_one_go(store: SqliteStore, time: Time) -> None:
    """Five thousand in pages of two thousand: the loop does not wait an hour between them."""
    await store.submit(new(5000))
    time.go(301)
    watch = Watch(store, time, settings(budget=100_000, watch={"interval": 3600.0}))
    async with going(watch):
        await reports(watch, 1)
        watch.cycle.wake("somebody asks")
        assert [(len(r.results), r.more) for r in await reports(watch, 3)] == [
            (2000, True),
            (2000, True),
            (1000, False),
        ]


async def test_the_loop_outlasts_a_store_that_is_away(store: SqliteStore, time: Time, path: Path) -> None:
    await claimed(store)
    watch = Watch(store, time, settings(watch={"interval": 0.01}))
    async with going(watch):
        await reports(watch, 1)
        with taken_away(path):
            assert not [r for r in (await reports(watch, 3))[1:] if r.leader]
        assert (await reports(watch, 3))[-1].leader


async def test_idle_seconds_grow_while_a_cycle_hangs(store: SqliteStore, time: Time) -> None:
    watch = Watch(store, time)
    time.go(7)
    await watch.cycle.run_once()
    assert watch.cycle.idle_seconds == 0.0
    time.go(90)
    assert watch.cycle.idle_seconds == 90.0
