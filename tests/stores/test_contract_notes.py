"""The audit trail of rows that another application owns, on every store."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from backends import StepClock

from gradewatch.model import ActionKind, Outcome, RowNote
from gradewatch.ports import Store

BEFORE = {"status": "queued", "attempts": 0, "progress": 1.5, "worker": None, "at": {"$time": "2026-03-02T09:00:00Z"}}
AFTER = {"status": "failed", "attempts": 1, "errors": ["wörter \U0001f4c4 'q' \"", ["nested", {"deep": True}]]}
NOTE = RowNote("expire", "tasks", "task-1", "job_timed_out", "It waited for 6m00s.", BEFORE, AFTER)


async def noted(store: Store, *notes: RowNote, sweep: str = "s1") -> list[int]:
    return await store.note_repairs(notes, sweep=sweep, by="watch-1")


async def subjects(store: Store, queue: str = "tasks", **asked) -> list[str]:
    return [repair.note.subject for repair in await store.noted(queue, **asked)]


async def test_a_note_reads_back_as_it_was_written(store: Store, other: Store) -> None:
    [id] = await noted(store, NOTE)
    [repair] = await other.noted("tasks")
    assert (repair.id, repair.sweep, repair.undone_at, repair.note) == (id, "s1", None, NOTE)
    [entry] = await other.audit()
    assert (entry.id, entry.action, entry.subject, entry.by) == (id, "expire", "task-1", "watch-1")
    assert entry.at == repair.at


async def test_notes_are_in_the_order_they_were_given_and_read_newest_first(store: Store) -> None:
    ids = await noted(store, *(replace(NOTE, subject=f"t{n}") for n in range(1200)))
    assert ids == sorted(set(ids))
    assert await subjects(store, limit=10_000) == [f"t{n}" for n in reversed(range(1200))]
    assert await subjects(store, limit=2) == ["t1199", "t1198"]
    assert await subjects(store, limit=0) == []
    assert await noted(store) == []


async def test_notes_are_found_by_queue_subject_sweep_and_time(store: Store, clock: StepClock) -> None:
    await noted(store, NOTE, replace(NOTE, subject="task-2"), replace(NOTE, queue="other"))
    clock.step(100)
    await noted(store, replace(NOTE, subject="task-3"), sweep="s2")
    assert await subjects(store, "other") == ["task-1"]
    assert await subjects(store, subjects=["task-2", "task-3", "nowhere"]) == ["task-3", "task-2"]
    assert await subjects(store, subjects=[]) == []
    assert await subjects(store, sweep="s1") == ["task-2", "task-1"]
    assert await subjects(store, within=50.0) == ["task-3"]
    assert await subjects(store, within=50.0, sweep="s1") == []


async def test_what_came_to_nothing_is_no_repair_and_spends_no_budget(store: Store) -> None:
    first, second = await noted(store, NOTE, replace(NOTE, subject="task-2"))
    windows = {ActionKind.EXPIRE: 600.0}
    assert (await store.control(windows)).spent == {(ActionKind.EXPIRE, "tasks"): 2}
    await store.unnote([first])
    await store.unnote([])
    assert await subjects(store) == ["task-2"]
    assert [(e.id, e.outcome) for e in await store.audit()] == [(second, Outcome.APPLIED), (first, Outcome.NOOP)]
    assert (await store.control(windows)).spent == {(ActionKind.EXPIRE, "tasks"): 1}


async def test_what_a_person_does_spends_no_budget(store: Store) -> None:
    await noted(store, replace(NOTE, action="fail", reason="operator"))
    assert (await store.control({ActionKind.FAIL: 600.0})).spent == {}


async def test_what_was_undone_says_so_once(store: Store, clock: StepClock) -> None:
    first, second = await noted(store, NOTE, replace(NOTE, subject="task-2"))
    clock.step(5)
    for _ in range(2):
        await store.note_undone([first], by="ana")
    await store.note_undone([], by="ana")
    newest, oldest = await store.noted("tasks")
    assert (newest.id, newest.undone_at) == (second, None)
    assert oldest.undone_at - oldest.at == timedelta(seconds=5)
    undo, *_ = await store.audit()
    assert (undo.action, undo.subject, undo.by, undo.outcome) == ("undo", "task-1", "ana", Outcome.APPLIED)
    assert len(await store.audit()) == 3
    assert [e.undone_at is not None for e in await store.audit(subject="task-1")] == [False, True]


async def test_the_stores_own_undo_leaves_them_alone(store: Store) -> None:
    """Their rows lie elsewhere: whoever routes the undo puts them back."""
    await noted(store, NOTE)
    await store.undo("s1", by="ana")
    [repair] = await store.noted("tasks")
    assert repair.undone_at is None


@pytest.mark.parametrize("hostile", ["", "a" * 5000, "'; DROP TABLE x; --", "wörter\n\t", "$where", "a.b"])
async def test_any_text_is_kept(store: Store, hostile: str) -> None:
    await noted(store, replace(NOTE, subject=hostile, message=hostile, before={"id": hostile, hostile: 1}))
    [repair] = await store.noted("tasks", subjects=[hostile])
    assert (repair.note.subject, repair.note.message) == (hostile, hostile)
    assert repair.note.before == {"id": hostile, hostile: 1}


@pytest.mark.parametrize("broken", ["\x00nul", "lone \ud800"])
async def test_a_message_that_no_store_holds_is_kept_as_far_as_it_goes(store: Store, broken: str) -> None:
    await noted(store, replace(NOTE, message=broken))
    [repair] = await store.noted("tasks")
    assert repair.note.message.rstrip("?\ufffd")[-3:] in broken


async def test_they_go_with_their_audit_entries(store: Store, clock: StepClock) -> None:
    await noted(store, NOTE)
    clock.step(1000)
    await noted(store, replace(NOTE, subject="task-2"))
    await store.purge(finished_age=500.0, audit_age=500.0, limit=1000)
    assert await subjects(store) == ["task-2"]
