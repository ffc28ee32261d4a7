"""What a row means, what a repair writes to it, and what would put it back."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from builders import NOW, ago
from hypothesis import given
from hypothesis import strategies as st
from mapped import GRADING, JOBS, PROGRESS, TASKS, action, read, running, task

from gradewatch.config.foreign import Fields, ForeignSettings, Words
from gradewatch.model import JobError, JobState
from gradewatch.stores.mapping.row import doubled, job_ref, read_row, shown, value
from gradewatch.stores.mapping.writes import change, kept, note, restorable, restored, same, write_of

# ---------------------------------------------------------------- reading


def test_a_row_in_the_presets_shape() -> None:
    job = read(running(worker_id="w1", attempts=2, completed_at=None, error="oops", heartbeat_at=ago(5)))
    assert (job.id, job.state, job.kind, job.worker, job.attempts, job.error) == (
        "t1", JobState.RUNNING, "grade", "w1", 2, "oops",
    )  # fmt: skip
    assert (job.created, job.started, job.finished, job.heartbeat) == (ago(400), ago(300), None, ago(5))
    assert (job.max_attempts, job.done, job.total, job.problem) == (3, 0, 0, "")


def test_of_several_candidates_the_first_that_a_row_has_counts() -> None:
    assert read(task("claimed", claimed_at=ago(9))).started == ago(9)
    assert read(task("claimed", claimed_at=ago(9), started_at=ago(8))).started == ago(8)
    assert read(task(claimed_by="w2")).worker == "w2"


def test_progress_moves_what_stands_for_a_beat() -> None:
    seen = {read(running(done=n, total=30), PROGRESS).beats for n in range(5)}
    assert len(seen) == 5
    assert read(running(heartbeat_at=ago(5))).beats != read(running(heartbeat_at=ago(4))).beats
    assert read({**task(), "total": 7.0}, PROGRESS).total == 7
    assert read({"id": 5, "status": "queued", "created_at": ago(1), "max_attempts": 5}, JOBS).total == 100


def test_a_field_may_lie_within_another() -> None:
    inside = ForeignSettings("t", Fields(id="meta.id", state="meta.state", created=("meta.at",)))
    job = read({"meta": {"id": 7, "state": "pending", "at": ago(3)}}, inside)
    assert (job.id, job.created) == ("7", ago(3))
    assert [value({"a": {"b": 1}}, name) for name in ("a.b", "a.b.c", "x.y", "")] == [1, None, None, None]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (task("frobnicated"), "the word 'frobnicated', which the settings do not know"),
        (task(None), "holds no word but nothing"),
        (task({"phase": "pending"}), "holds no word but a dict"),
        (task(task_id=None), "no task_id"),
        (task(created_at=None), "no created_at: how long it has waited cannot be told"),
        (task(created_at="soon"), "created_at: text that is no ISO 8601 time"),
        (task(created_at=NOW + timedelta(hours=1)), "created_at lies 3600 s in the future"),
        (task(started_at="0001-01-01T00:00:00Z"), "started_at: a time before 1971"),
        (task("processing"), "no started_at or claimed_at or heartbeat_at: how long it has run cannot be told"),
        (running(heartbeat_at=[]), "heartbeat_at: a value of type list is no time"),
    ],
)
def test_what_cannot_be_understood_is_said(row: dict[str, Any], why: str) -> None:
    assert why in read(row).problem


def test_a_time_of_finishing_that_is_none_keeps_no_repair_back() -> None:
    job = read(task(completed_at="never"))
    assert (job.finished, job.problem) == (None, "")
    assert read(task("completed", created_at=None)).problem == ""


def test_a_time_a_little_ahead_is_only_another_clock() -> None:
    assert read(task(created_at=NOW + timedelta(seconds=30))).problem == ""


STRANGE = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.datetimes(), st.binary()),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.text(max_size=3), inner, max_size=2)),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from([*PROGRESS.fields.read, "_id", "else"]), STRANGE))
def test_no_row_raises_and_what_is_readable_can_be_judged_and_noted(row: dict[str, Any]) -> None:
    job = read_row(PROGRESS, row, NOW)
    shown(job, "tasks", NOW)
    assert isinstance(job.beats, int)
    values = change(PROGRESS, "fail", row, None, now=NOW, code="c", error="e")
    assert note(action(), "fail", row, values).queue == "tasks"
    if not job.problem and not (job.state and job.state.finished):
        assert job_ref(job, "tasks", None, 0, None).id == job.id


@given(STRANGE)
def test_what_is_noted_comes_back_as_it_was_or_is_not_put_back(found: Any) -> None:
    before = kept({"field": found})
    if restorable(before):
        assert repr(restored(before)["field"]) == repr(found) or same(restored(before)["field"], found)


def test_the_guard_holds_all_that_tells_of_a_life() -> None:
    seen = dict(read({"_id": "own", **running(attempts=1, worker_id="w1")}).seen)
    assert seen == {
        "_id": "own", "task_id": "t1", "status": "processing", "created_at": ago(400), "started_at": ago(300),
        "claimed_at": None, "completed_at": None, "finished_at": None, "heartbeat_at": None, "worker_id": "w1",
        "claimed_by": None, "attempts": 1,
    }  # fmt: skip


def test_a_job_that_runs_counts_its_attempt_whether_its_worker_did_or_not() -> None:
    assert job_ref(read(running()), "q", "s", 0, None).attempt == 1
    assert job_ref(read(running(attempts=3)), "q", "s", 1, None).attempt == 3
    assert job_ref(read(running(attempts=0)), "q", "s", 2, None).attempt == 3
    assert job_ref(read(task(attempts=0)), "q", None, 2, None).attempt == 2


def test_a_wait_begins_anew_after_a_repair() -> None:
    assert job_ref(read(task()), "q", None, 0, ago(10)).run_at == ago(10)
    assert job_ref(read(task()), "q", None, 0, ago(9000)).run_at == ago(400)
    assert job_ref(read(task(started_at=ago(7))), "q", None, 0, None).started_at == ago(7)
    assert job_ref(
        read({**running(), "started_at": None, "heartbeat_at": ago(6)}), "q", None, 0, None
    ).started_at == ago(6)


def test_a_job_as_it_is_shown() -> None:
    failed = shown(read(task("failed", error="no paper", completed_at=ago(1))), "tasks", NOW)
    assert failed.error == JobError("failed", "no paper")
    assert (failed.updated_at, failed.session_id) == (ago(1), None)
    strange = shown(read(task({}, created_at=None)), "tasks", NOW)
    assert (strange.state, strange.created_at) == (JobState.PENDING, NOW)
    assert "status holds no word" in strange.status_message


def test_ids_that_stand_twice() -> None:
    assert doubled([read(task()), read(task()), read(task(task_id="t2"))]) == {"t1"}


# ---------------------------------------------------------------- writing


def changed(verb: str, row: dict[str, Any], by: ForeignSettings = TASKS, columns: Any = None, **more: Any) -> Any:
    return change(by, verb, row, columns, now=NOW, code="late", error="It was late.", **more)


def test_a_job_is_failed_with_its_reason_and_its_end() -> None:
    assert changed("expire", task()) == {"status": "failed", "completed_at": NOW, "error": "It was late."}
    assert changed("fail", task(created_at="2026-03-01 10:00:00"))["completed_at"] == "2026-03-02 09:00:00"
    assert changed("fail", task(completed_at=5e8, created_at="2026-03-01T10:00:00Z"))["completed_at"] == NOW.timestamp()
    assert changed("fail", {})["completed_at"] == NOW


def test_a_list_of_errors_gets_one_more_and_what_is_no_list_is_left() -> None:
    assert changed("fail", {"errors": ["a"]}, GRADING)["errors"] == ["a", "It was late."]
    assert changed("fail", {}, GRADING)["errors"] == ["It was late."]
    assert "errors" not in changed("fail", {"errors": "a"}, GRADING)


def test_a_cancelled_job_is_a_failed_one_where_there_is_no_word() -> None:
    assert changed("cancel", task())["status"] == "cancelled"
    assert changed("cancel", {}, JOBS)["status"] == "failed"


def test_only_columns_that_there_are_are_written_and_guarded() -> None:
    assert changed("fail", task(), columns={"status", "finished_at"}) == {"status": "failed", "finished_at": NOW}
    assert changed("fail", task(), columns={"status"}) == {"status": "failed"}
    assert write_of({"status": "x", "heartbeat_at": None, "meta.at": 1}, {}, {"status", "meta"}).guard == {
        "status": "x", "meta.at": 1,
    }  # fmt: skip
    nowhere = replace(TASKS, fields=replace(TASKS.fields, finished=(), error=""))
    assert changed("fail", task(), nowhere) == {"status": "failed"}


def test_a_job_that_is_taken_back_loses_what_its_claim_and_its_end_have_set() -> None:
    row = running(worker_id="w1", attempts=1, heartbeat_at=ago(9), error="x", completed_at=ago(1), done=12)
    assert changed("requeue", row, PROGRESS) == {
        "status": "pending", "started_at": None, "worker_id": None, "heartbeat_at": None, "error": None,
        "completed_at": None, "attempts": 2,
    }  # fmt: skip
    # What also tells when it was made is not taken off.
    assert "updated_at" not in changed("requeue", {"updated_at": ago(5)}, GRADING)
    plain = replace(TASKS, fields=replace(TASKS.fields, error=""))
    assert changed("requeue", task(error="x"), plain) == {"status": "pending"}


@pytest.mark.parametrize(
    ("attempts", "anew", "charge", "written"),
    [(1, False, True, 2), (1.0, False, True, 2.0), (1, False, False, None), (4, True, False, 0),
     (None, True, True, None), ("1", False, True, None), (True, False, True, None)],
)  # fmt: skip
def test_attempts_are_charged_where_they_are_counted(attempts: Any, anew: bool, charge: bool, written: Any) -> None:
    by = replace(TASKS, charge_attempts=charge)
    assert changed("requeue", running(attempts=attempts), by, anew=anew).get("attempts") == written


def test_what_the_settings_add() -> None:
    by = replace(
        TASKS, write={"fail": {"why": "$code", "said": "$error", "at": "$now", "n": 3, "gone": None, "x": "y"}}
    )
    made = changed("fail", task(), by)
    assert [made[name] for name in ("why", "said", "at", "n", "gone", "x")] == [
        "late", "It was late.", NOW, 3, None, "y",
    ]  # fmt: skip
    assert "why" not in changed("expire", task(), by)


def test_a_note_holds_the_touched_fields_before_and_after() -> None:
    row = running(payload="secret")
    made = note(action(), "fail", row, changed("fail", row))
    assert set(made.before) == set(made.after) == {"status", "completed_at", "error"}
    assert (made.before["status"], made.after["status"]) == ("processing", "failed")
    assert restored(made.after)["completed_at"] == NOW


def test_values_that_json_cannot_hold_are_told_and_not_put_back() -> None:
    odd = {"bytes": b"x", "nan": float("nan"), "nul": "a\x00", "deep": [{"x": object()}]}
    assert [restorable(kept({name: found})) for name, found in odd.items()] == [False] * 4
    assert restorable(kept({"list": [1, {"a": [NOW]}], "tuple": (1, 2), "yes": True}))


def test_what_is_stored_is_what_was_written() -> None:
    assert same(datetime(2026, 3, 2, 9, 0, 0, 123456, tzinfo=UTC), "2026-03-02T09:00:00.123Z")
    assert not same("2026-03-02T09:00:00Z", "2026-03-02T09:00:01Z")
    assert not same("a", "b")
    assert not same(1, 2)
    assert not same(None, NOW)


def test_words_mean_one_state_or_none() -> None:
    words = Words(running=("processing", "claimed"))
    assert [words.state(word) for word in ("claimed", "PENDING", 5, None, ["pending"])] == [
        JobState.RUNNING, None, None, None, None,
    ]  # fmt: skip
