"""One acting watch: a lease that ends by itself before the store gives it to another."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from structlog.testing import capture_logs
from watch_kit import Before, Time, empty, taken_away

from gradewatch.errors import StoreError, StoreUnavailable
from gradewatch.remediation.lease import ActingLease
from gradewatch.stores.sqlite import SqliteStore

TTL = 15.0
NAMES = ("watch-1", "watch-2", "watch-3")


def lease(store: Any, time: Time, holder: str = "watch-1") -> ActingLease:
    return ActingLease(store, holder, TTL, time)


async def test_the_first_to_ask_holds_it_and_the_other_does_not(store: SqliteStore, time: Time) -> None:
    one, two = lease(store, time), lease(store, time, "watch-2")
    assert not one.held
    assert (await one.keep(), await two.keep()) == (True, False)
    assert (one.held, two.held, one.term) == (True, False, 1)


async def test_it_is_renewed_when_a_third_of_it_is_gone_and_not_before(store: SqliteStore, time: Time) -> None:
    asked = []
    one = lease(Before(store, acquire=lambda: asked.append(time.mono())), time)
    for _ in range(12):
        assert await one.keep()
        time.go(1)
    assert asked == [1000.0, 1005.0, 1010.0]
    assert one.term == 1


async def test_without_renewal_it_ends_before_the_store_gives_it_away(store: SqliteStore, time: Time, path) -> None:
    one, two = lease(store, time), lease(store, time, "watch-2")
    await one.keep()
    with taken_away(path):
        for _ in range(9):
            time.go(1)
            assert await one.keep()
        time.go(1)
        assert not await one.keep(), "two thirds of its time are over, the rest is margin"
    assert not await two.keep()
    time.go(5)
    assert await two.keep()
    assert two.term == 2


async def test_its_time_counts_from_before_it_asked(store: SqliteStore, time: Time) -> None:
    """The answer took eight seconds: for all it knows, the store granted it at once."""
    one = lease(Before(store, acquire=lambda: time.go(8)), time)
    assert await one.keep()
    time.go(1.9)
    assert one.held
    time.go(0.1)
    assert not one.held


async def test_an_answer_that_took_too_long_is_no_lease(store: SqliteStore, time: Time) -> None:
    assert not await lease(Before(store, acquire=lambda: time.go(11)), time).keep()


async def test_why_it_could_not_be_written_is_told_once_and_forgotten_when_it_can(
    store: SqliteStore, time: Time, path
) -> None:
    one = lease(store, time)
    with capture_logs() as logs, taken_away(path):
        for _ in range(3):
            assert not await one.keep()
        assert isinstance(one.refused, StoreUnavailable)
    assert [line["event"] for line in logs] == ["lease not renewed"]
    await one.keep()
    assert one.refused is None


async def test_one_that_was_taken_by_another_is_lost_at_once(store: SqliteStore, time: Time) -> None:
    """As after a stop of this process that its own clock did not count."""
    one, two = lease(store, time), lease(store, time, "watch-2")
    await one.keep()
    time.step(60)
    assert await two.keep()
    time.go(5)
    with capture_logs() as logs:
        assert not await one.keep()
    assert [line["event"] for line in logs] == ["lease lost to another watch"]


async def test_a_released_one_is_free_at_once(store: SqliteStore, time: Time) -> None:
    one, two = lease(store, time), lease(store, time, "watch-2")
    await one.keep()
    await one.release()
    assert not one.held
    assert await two.keep()
    await one.release()
    assert two.held
    assert not await one.keep(), "who holds nothing has nothing to give back"


async def test_a_release_that_the_store_does_not_hear_only_ends_ours(store: SqliteStore, time: Time, path) -> None:
    one = lease(store, time)
    await one.keep()
    with taken_away(path), capture_logs() as logs:
        await one.release()
    assert not one.held
    assert [line["event"] for line in logs] == ["lease not released; it ends by itself"]


# ---------------------------------------------------------------- whatever happens


class Slow:
    """The real store's leases, each answer under way until it is let through: asked, granted by the store, heard."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self.ask, self.hear = asyncio.Event(), asyncio.Event()

    async def acquire(self, *args: Any) -> Any:
        await self.ask.wait()
        grant = await self._store.acquire(*args)
        await self.hear.wait()
        return grant

    async def release(self, *args: Any) -> None:
        await self._store.release(*args)


class Holders(RuleBasedStateMachine):
    """Three watches over one real SQLite file. Time goes on for all alike; each question and each answer takes as long
    as it likes; the store goes away and comes back; its clock is stepped back."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "leases.db"
        self.time = Time()
        self.store = SqliteStore(self.path, clock=self.time)
        self.path.write_bytes(empty())
        self.slow = {name: Slow(self.store) for name in NAMES}
        self.leases = {name: lease(self.slow[name], self.time, name) for name in NAMES}
        self.asking: dict[str, asyncio.Task[bool]] = {}

    @rule(seconds=st.sampled_from([1.0, 5.0, 10.0, 15.0]))
    def time_goes_on(self, seconds: float) -> None:
        self.time.go(seconds)

    @rule(seconds=st.sampled_from([-1.0, -14.0, -3600.0]))
    def the_stores_clock_is_stepped_back(self, seconds: float) -> None:
        self.time.step(seconds)

    @rule(name=st.sampled_from(NAMES), seconds=st.sampled_from([1.0, 6.0, 15.0]))
    def the_store_is_away_while_one_asks(self, name: str, seconds: float) -> None:
        with taken_away(self.path):
            self.time.go(seconds)
            self.asks_and_hears(name)

    @rule(name=st.sampled_from(NAMES))
    def asks(self, name: str) -> None:
        if name not in self.asking:
            self.slow[name].ask.clear()
            self.slow[name].hear.clear()
            self.asking[name] = self.loop.create_task(self.leases[name].keep())
            self.loop.run_until_complete(asyncio.sleep(0))

    @rule(name=st.sampled_from(NAMES))
    def the_store_decides(self, name: str) -> None:
        async def decided() -> None:
            await asyncio.sleep(0)
            with suppress(StoreError):
                await self.store.release("another", name)  # the store serves in order: ours is answered by now
            await asyncio.sleep(0)

        self.slow[name].ask.set()
        if name in self.asking:
            self.loop.run_until_complete(decided())

    @rule(name=st.sampled_from(NAMES))
    def hears(self, name: str) -> None:
        self.slow[name].ask.set()
        self.slow[name].hear.set()
        if name in self.asking:
            self.loop.run_until_complete(self.asking.pop(name))

    @rule(name=st.sampled_from(NAMES))
    def asks_and_hears(self, name: str) -> None:
        self.asks(name)
        self.hears(name)

    @rule(name=st.sampled_from(NAMES), other=st.sampled_from(NAMES), seconds=st.sampled_from([6.0, 11.0, 15.0]))
    def an_answer_is_slow(self, name: str, other: str, seconds: float) -> None:
        self.asks(name)
        self.the_store_decides(name)
        self.time.go(seconds)
        if other != name:
            self.asks_and_hears(other)
        self.hears(name)

    @rule(name=st.sampled_from(NAMES))
    def releases(self, name: str) -> None:
        if name not in self.asking:
            self.loop.run_until_complete(self.leases[name].release())

    @invariant()
    def at_most_one_acts(self) -> None:
        acting = [name for name, one in self.leases.items() if one.held]
        assert len(acting) <= 1, f"{acting} act at once"

    def teardown(self) -> None:
        async def end() -> None:
            for task in self.asking.values():
                task.cancel()
            await asyncio.gather(*self.asking.values(), return_exceptions=True)
            await self.store.close()

        self.loop.run_until_complete(end())
        self.loop.close()
        self.folder.cleanup()


Holders.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    phases=[Phase.generate],  # to shrink a failure takes minutes, and its steps are told in full
    suppress_health_check=[HealthCheck.too_slow],
)
test_two_watches_never_act_at_once = Holders.TestCase
