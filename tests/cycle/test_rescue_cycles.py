"""Rescue in whole cycles over a real store: who starts it, what is on record, and who must let go of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

from watch_kit import Places, Time, Watch, new, new_session, settings, trail

from gradewatch.app.rescuing import WithRescue
from gradewatch.errors import PlatformError
from gradewatch.model import Outcome, Target, rescued
from gradewatch.remediation.remedies import Remedies
from gradewatch.stores.sqlite import SqliteStore

RESCUER = "rescue:default"


class Hand:
    """A rescuer without processes: what it was asked for is what its target says."""

    def __init__(self) -> None:
        self.queues: set[str] = set()
        self.refusal: PlatformError | None = None

    async def add(self, queue: str) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.queues.add(queue)

    def release(self, queues: Collection[str] | None = None) -> None:
        self.queues -= set(self.queues if queues is None else queues)

    async def targets(self) -> Sequence[Target]:
        up = bool(self.queues)
        plain = Target("rescue-host", rescued(sorted(self.queues)), pid=1, running=up, running_seconds=99.0)
        return [replace(plain, wanted=False, incarnation="rescue-1")]

    def on_event(self, wake: Callable[[], None]) -> None: ...


async def watch(store: SqliteStore, time: Time, hand: Hand, **changes: Any) -> Watch:
    """A watch that may rescue, its first and observing cycle behind it."""
    by = settings(watch={"rescue": True}, **{key: changes.pop(key) for key in ("remediation",) if key in changes})
    made = Watch(store, time, by, WithRescue(Places(), hand), **changes)  # type: ignore[arg-type]
    made.cycle._remedies = Remedies(store, made.platform, by.remediation, by="watch", rescuer=hand)
    await made.cycle.run_once()
    return made


async def test_it_is_started_once_and_ends_when_a_worker_is_back(store: SqliteStore, time: Time) -> None:
    await store.submit(new())
    hand = Hand()
    ours = await watch(store, time, hand)
    for _ in range(24):
        time.go(5)
        await ours.cycle.run_once()
    assert hand.queues == set(), "rescue_after has only just passed"
    time.go(5)
    report = await ours.cycle.run_once()
    assert [(r.action.kind.value, r.outcome) for r in report.results] == [("rescue", Outcome.APPLIED)]
    for _ in range(3):
        time.go(5)
        await ours.cycle.run_once()
    assert hand.queues == {"default"}
    assert await trail(store) == [("rescue", "applied", RESCUER)]

    await store.open_session(new_session())
    time.go(1)
    await ours.cycle.run_once()
    assert hand.queues == set()
    assert await trail(store) == [("rescue", "applied", RESCUER)] * 2
    assert "worker-1 is back" in (await store.audit())[0].message


async def test_one_that_cannot_be_started_is_on_record_as_failed(store: SqliteStore, time: Time) -> None:
    await store.submit(new())
    hand = Hand()
    hand.refusal = PlatformError("no more processes")
    ours = await watch(store, time, hand)
    await rescued_by_now(ours, time)
    assert (await trail(store))[0] == ("rescue", "failed", RESCUER)


async def test_a_dry_run_only_says_so(store: SqliteStore, time: Time) -> None:
    await store.submit(new())
    hand = Hand()
    ours = await watch(store, time, hand, remediation={"mode": "dry-run"})
    await rescued_by_now(ours, time)
    assert hand.queues == set()
    assert ("rescue", "dry_run", RESCUER) in await trail(store)


async def test_a_watch_that_no_longer_acts_lets_go_of_it(store: SqliteStore, time: Time) -> None:
    await store.submit(new())
    hand = Hand()
    ours = await watch(store, time, hand)
    await rescued_by_now(ours, time)
    assert hand.queues == {"default"}
    time.go(16)  # the lease has ended, and another watch is faster
    assert await store.acquire("watch", "another", 15.0)
    await ours.cycle.run_once()
    assert hand.queues == set()


async def test_an_outage_does_not_end_it(store: SqliteStore, time: Time, path: Any) -> None:
    from watch_kit import taken_away

    await store.submit(new())
    hand = Hand()
    ours = await watch(store, time, hand)
    await rescued_by_now(ours, time)
    with taken_away(path):
        time.go(16)
        await ours.cycle.run_once()
    assert hand.queues == {"default"}


async def rescued_by_now(ours: Watch, time: Time) -> None:
    for _ in range(30):
        time.go(5)
        await ours.cycle.run_once()
