"""All probes of one cycle over a real store: what each sees, and what an outage spares the others."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from watch_kit import Before, Places, Time, Watch, beat, claimed, new, place, take_away, taken_away, written

from gradewatch.config import QueueSettings, Settings
from gradewatch.errors import PlatformError, StoreUnavailable
from gradewatch.model import Code, Credit, Known, Unknown
from gradewatch.probes.observer import Observation
from gradewatch.stores.sqlite import SqliteStore

READINGS = ("store", "workers", "platform", "environment", "control")


def unknown(seen: Observation) -> set[str]:
    """The probes that failed."""
    named = {name: getattr(seen.snapshot, name) for name in READINGS} | {**seen.snapshot.queues}
    return {name for name, reading in named.items() if isinstance(reading, Unknown)}


def known(reading: Any) -> Any:
    assert isinstance(reading, Known)
    return reading.value


async def test_everything_is_seen_and_nothing_written(store: SqliteStore, path, time: Time) -> None:
    session, _ = await claimed(store)
    await store.submit(new(3))
    before = written(path)
    seen = await Watch(store, time, platform=Places(place())).observer.observe()
    assert unknown(seen) == set()
    assert [w.session.id for w in known(seen.snapshot.workers)] == [session]
    assert known(seen.snapshot.queues["default"]).stats.pending == 3
    assert [t.name for t in known(seen.snapshot.platform)] == ["place-1"]
    assert known(seen.snapshot.store).session_ever == {"default": True}
    assert set(seen.seconds) == {"store", "workers", "platform", "environment", "control", "queue"}
    assert seen.snapshot.observe_only, "the first look"
    assert written(path) == before


async def test_a_single_look_may_be_acted_on_at_once(store: SqliteStore, time: Time, path) -> None:
    assert not (await Watch(store, time, single=True).observer.observe()).snapshot.observe_only
    with taken_away(path):
        assert (await Watch(store, time, single=True).observer.observe()).snapshot.observe_only


async def test_where_the_store_is_away_the_platform_is_still_seen(store: SqliteStore, time: Time, path) -> None:
    asked: list[str] = []
    hooks = {name: lambda name=name: asked.append(name) for name in ("check", "sessions", "stats", "control")}
    watch = Watch(Before(store, **hooks), time, platform=Places(place()))
    with taken_away(path):
        seen = await watch.observer.observe()
    assert unknown(seen) == {"store", "workers", "control", "default"}
    assert asked == ["check"], "no other probe waits out its own deadline"
    assert set(seen.seconds) == {"store", "workers", "platform", "environment", "control", "queue"}
    assert seen.snapshot.workers.code is Code.STORE_UNREACHABLE  # type: ignore[union-attr]


async def test_where_the_store_goes_away_between_two_queues_the_rest_are_not_asked(
    store: SqliteStore, time: Time, path
) -> None:
    asked = 0

    def leave() -> None:
        nonlocal asked
        asked += 1
        take_away(path)

    watch = Watch(Before(store, stats=leave), time, Settings(queues={name: QueueSettings(name) for name in "abc"}))
    assert unknown(await watch.observer.observe()) == {"a", "b", "c"}
    assert asked == 1


async def test_a_platform_that_does_not_answer_is_unknown_alone(store: SqliteStore, time: Time) -> None:
    class Silent(Places):
        async def targets(self):
            raise PlatformError("no answer from the API server")

    seen = await Watch(store, time, platform=Silent()).observer.observe()
    assert unknown(seen) == {"platform"}
    assert seen.snapshot.platform.reason == "no answer from the API server"  # type: ignore[union-attr]


async def test_a_store_that_refused_a_write_is_away(store: SqliteStore, time: Time) -> None:
    """It can be read, but no worker can beat: time in it is nobody's silence, and is credited."""
    watch = Watch(store, time)
    await watch.observer.observe()
    before = time.wall()
    time.go(5)
    refused = await watch.observer.observe(StoreUnavailable("locked"))
    assert refused.snapshot.store == Unknown("locked", time.mono(), Code.STORE_UNREACHABLE)
    time.go(5)
    seen = await watch.observer.observe()
    assert seen.credits == (Credit("outage", before, time.wall()),)
    assert seen.snapshot.observe_only


async def test_the_credits_of_a_gap_are_in_the_snapshot_before_they_are_in_the_store(
    store: SqliteStore, time: Time, path
) -> None:
    watch = Watch(store, time)
    await watch.observer.observe()
    old = Credit("clock", time.wall() - timedelta(seconds=9), time.wall())
    await store.add_credit(old)
    with taken_away(path):
        time.go(30)
        await watch.observer.observe()
    seen = await watch.observer.observe()
    assert known(seen.snapshot.control).credits == (old, *seen.credits)


async def test_sessions_that_could_not_be_read_are_not_silent_meanwhile(store: SqliteStore, time: Time) -> None:
    """The store's own probe answers, the sessions' does not: for as long as that lasts, nobody was seen silent."""
    session, _ = await claimed(store)
    broken = False

    def fail() -> None:
        if broken:
            raise StoreUnavailable("too slow")

    watch = Watch(Before(store, sessions=fail), time)
    await watch.observer.observe()
    time.go(5)
    await beat(store, session)
    await watch.observer.observe()
    broken = True
    for _ in range(12):
        time.go(5)
        assert unknown(await watch.observer.observe()) == {"workers"}
    broken = False
    time.go(1)
    [reading] = known((await watch.observer.observe()).snapshot.workers)
    assert (reading.silent_seconds, reading.watched_seconds) == (0.0, 0.0)
    assert reading.store_silent_seconds == 61.0


async def test_a_queue_read_after_the_clock_was_stepped_in_mid_look_is_unknown(store: SqliteStore, time: Time) -> None:
    watch = Watch(Before(store, stats=lambda: time.step(step)), time)
    step = 0.0
    await watch.observer.observe()
    assert unknown(await watch.observer.observe()) == set()
    step = 3600.0
    torn = await watch.observer.observe()
    assert (unknown(torn), torn.credits) == ({"default"}, ()), "the next look sees the step"
    step = 0.0
    seen = await watch.observer.observe()
    assert (seen.snapshot.clock_step, seen.credits) == (
        3600.0,
        (Credit("clock", time.wall() - timedelta(hours=1), time.wall()),),
    )


@pytest.mark.parametrize("queue", ["default"])
async def test_jobs_of_silent_workers_are_held_in_the_same_look(store: SqliteStore, time: Time, queue: str) -> None:
    session, [job] = await claimed(store, queue=queue)
    watch = Watch(store, time)
    await watch.observer.observe()
    time.go(14)
    assert known((await watch.observer.observe()).snapshot.queues[queue]).held_by_absent == ()
    time.go(2)
    held = known((await watch.observer.observe()).snapshot.queues[queue]).held_by_absent
    assert [(j.id, j.session_id) for j in held] == [(job.id, session)]
