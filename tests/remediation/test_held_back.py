"""What was held back goes on record once, and again when the reason is another."""

from __future__ import annotations

from pathlib import Path

import pytest
from watch_kit import taken_away, trail

from gradewatch.errors import StoreUnavailable
from gradewatch.model import Action, ActionKind, Code, Outcome, Ruling
from gradewatch.remediation import audit
from gradewatch.remediation.audit import WRITTEN_AT_ONCE, HeldBack
from gradewatch.stores.sqlite import SqliteStore


def restart(target: str = "w1") -> Action:
    return Action(ActionKind.RESTART, "default", Code.WORKER_NOT_RUNNING, "it is gone", target=target)


def held(why: str, target: str = "w1", outcome: Outcome | None = Outcome.SUPPRESSED) -> Ruling:
    return Ruling(restart(target), outcome, why)


PAUSED, SPENT, THROUGH = held("paused"), held("budget spent"), held("", outcome=None)


async def record(back: HeldBack, *rulings: Ruling) -> list[tuple[str, str]]:
    return [(r.outcome.value, r.detail) for r in await back.record(rulings, sweep="sweep-1", by="watch-1")]


async def messages(store: SqliteStore) -> list[str]:
    return [entry.message for entry in reversed(await store.audit())]


async def test_a_ruling_is_recorded_once_and_reported_each_time(store: SqliteStore) -> None:
    back = HeldBack(store)
    for _ in range(3):
        assert await record(back, PAUSED) == [("suppressed", "paused")]
    assert await trail(store) == [("restart", "suppressed", "w1")]
    assert await messages(store) == ["it is gone (paused)"]


async def test_it_is_recorded_again_when_the_reason_changes(store: SqliteStore) -> None:
    back = HeldBack(store)
    for ruling in (PAUSED, SPENT, SPENT, PAUSED):
        await record(back, ruling)
    assert await messages(store) == [f"it is gone ({why})" for why in ("paused", "budget spent", "paused")]


async def test_what_was_let_through_is_not_recorded_and_when_held_again_it_is_news(store: SqliteStore) -> None:
    back = HeldBack(store)
    for ruling in (PAUSED, THROUGH, PAUSED):
        await record(back, ruling)
    assert await messages(store) == ["it is gone (paused)"] * 2
    assert await record(back, THROUGH) == []


async def test_each_subject_and_action_is_a_fact_of_its_own(store: SqliteStore) -> None:
    await record(HeldBack(store), PAUSED, held("paused", "w2"), held("dry run", "w3", Outcome.DRY_RUN))
    assert await trail(store) == [
        ("restart", "suppressed", "w1"),
        ("restart", "suppressed", "w2"),
        ("restart", "dry_run", "w3"),
    ]


async def test_a_mass_is_recorded_in_part_and_reported_in_full(store: SqliteStore) -> None:
    back = HeldBack(store)
    many = [held("paused", f"w{n}") for n in range(WRITTEN_AT_ONCE + 50)]
    assert len(await record(back, *many)) == len(many)
    assert len(await trail(store)) == WRITTEN_AT_ONCE
    await record(back, *many)
    assert len(await trail(store)) == WRITTEN_AT_ONCE


async def test_its_memory_is_bounded_and_the_oldest_goes(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "REMEMBERED", 2)
    back = HeldBack(store)
    for name in ("w1", "w2", "w1", "w3"):
        await record(back, held("paused", name))
    assert [subject for *_, subject in await trail(store)] == ["w1", "w2", "w3"]
    await record(back, held("paused", "w1"), held("paused", "w2"))
    assert [subject for *_, subject in await trail(store)] == ["w1", "w2", "w3", "w2"], "w1 was seen after w2"


async def test_what_could_not_be_recorded_is_recorded_later(store: SqliteStore, path: Path) -> None:
    back = HeldBack(store)
    with taken_away(path), pytest.raises(StoreUnavailable):
        await record(back, PAUSED, held("paused", "w2"))
    await record(back, PAUSED, held("paused", "w2"))
    assert [subject for *_, subject in await trail(store)] == ["w1", "w2"]
