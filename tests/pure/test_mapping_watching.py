"""Who works on another application's jobs, who worked on one twice, and times of one clock told in another's."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from builders import NOW, ago, job_ref, session
from mapped import JOBS, PROGRESS, TASKS, read, repair, running, task
from world import control, restart

from gradewatch.model import Credit, Pause, Source
from gradewatch.stores.mapping import liveness, shifting, twice
from gradewatch.stores.postgres.columns import may_be
from gradewatch.stores.postgres.guard import guard_text

HOUR = timedelta(hours=1)


# ---------------------------------------------------------------- liveness


def beating(name: str, **changes: Any) -> Any:
    return session(f"s-{name}", name=name, queues=("tasks",), **changes)


def test_a_session_stands_for_a_job_and_can_be_told_from_a_workers() -> None:
    made = liveness.session_id("a:b", read(running()))
    assert liveness.parse(made) == ("a", "b:t1")
    assert liveness.parse(liveness.session_id("tasks", read(running(task_id="x:y")))) == ("tasks", "x:y")
    assert liveness.parse("5f0c") is None


def test_a_job_belongs_to_the_worker_it_names_or_to_the_only_one_there_is() -> None:
    one, two = beating("w1"), beating("w2")
    workers = liveness.named([one, two, session("other", name="w3", queues=("elsewhere",))], "tasks")
    assert set(workers) == {"w1", "w2"}
    assert liveness.attribute(read(running(worker_id="w2")), workers) is two
    assert liveness.attribute(read(running(worker_id="w9")), workers) is None
    assert liveness.attribute(read(running()), workers) is None
    assert liveness.attribute(read(running()), {"w1": one}) is one


def test_of_two_lives_of_a_worker_the_one_that_beat_last_counts() -> None:
    old, new = beating("w1", beat_at=ago(900)), replace(beating("w1"), id="s-new")
    assert liveness.named([new, old], "tasks")["w1"].id == "s-new"


@pytest.mark.parametrize(
    ("row", "silence", "source"),
    [
        (running(), None, Source.NOTHING),
        (running(), 60.0, Source.NOTHING),
        (running(heartbeat_at=ago(5)), None, Source.NOTHING),
        (running(heartbeat_at=ago(5)), 60.0, Source.JOB),
        (running(done=3), 60.0, Source.JOB),
        (running(total=30), 60.0, Source.JOB),
    ],
)
def test_a_job_tells_of_its_worker_only_where_it_is_said_to_move(row: Any, silence: Any, source: Source) -> None:
    [made] = liveness.sessions_of("tasks", [read(row, PROGRESS)], [], NOW, silence=silence)
    assert (made.source, made.queues, made.slots, made.busy) == (source, ("tasks",), 1, 1)
    assert made.started_at == ago(300)
    assert made.name == "worker of job t1"


def test_jobs_of_workers_that_beat_and_unreadable_ones_have_no_session_of_their_own() -> None:
    jobs = [
        read(running(worker_id="w1")),
        read(running(task_id="t2", started_at="x")),
        read(running(task_id="t3", worker_id="w3")),
    ]
    [made] = liveness.sessions_of("tasks", jobs, [beating("w1")], NOW, silence=None)
    assert made.name == "w3"


# ---------------------------------------------------------------- twice


def took_again(before: dict[str, Any], after: dict[str, Any], repaired: tuple[str, ...] = ()) -> dict[str, str]:
    return twice.taken_again(twice.holders([read(before)]), [read(after)], repaired)


def test_a_job_that_changes_hands_while_it_runs_is_seen() -> None:
    assert "w1 was running it when w2 took it too" in took_again(running(worker_id="w1"), running(worker_id="w2"))["t1"]
    assert "again at" in took_again(running(), running(started_at=ago(10)))["t1"]


@pytest.mark.parametrize(
    ("before", "after", "repaired"),
    [
        (running(worker_id="w1"), running(worker_id="w1"), ()),
        (running(worker_id="w1"), running(worker_id="w2"), ("t1",)),
        (running(worker_id="w1", attempts=1), running(worker_id="w2", attempts=2), ()),
        (running(task_id="t0"), running(), ()),
        (running(), running(worker_id="w2"), ()),
        (running(), running(worker_id="w2", started_at=ago(5)), ()),
    ],
    ids=["same", "by us", "an attempt more", "new", "named since", "named and begun since"],
)
def test_what_is_no_double_claim(before: Any, after: Any, repaired: Any) -> None:
    assert took_again(before, after, repaired) == {}


def ended(**fields: Any) -> dict[str, Any]:
    return running(**({"status": "completed", "completed_at": ago(100)} | fields))


def ended_again(before: dict[str, Any], after: dict[str, Any], repaired: tuple[str, ...] = ()) -> dict[str, str]:
    return twice.ended_again(twice.endings([read(before)]), [read(after)], repaired)


def test_a_job_that_ends_twice_is_seen() -> None:
    assert "two workers finished it" in ended_again(ended(), ended(completed_at=ago(5)))["t1"]
    assert "failed again" in ended_again(ended(), ended(status="failed"))["t1"]
    assert "written to again" in ended_again(ended(), ended(status="x", completed_at=ago(5)))["t1"]
    assert "is running again" in ended_again(ended(), running())["t1"]


@pytest.mark.parametrize(
    ("before", "after", "repaired"),
    [
        (ended(), ended(), ()),
        (ended(), ended(completed_at=ago(5)), ("t1",)),
        (ended(), ended(started_at=ago(50), completed_at=ago(5)), ()),
        (ended(), running(started_at=ago(50)), ()),
        (ended(started_at=None), ended(started_at=None, completed_at=ago(5)), ()),
        (ended(), ended(completed_at=None), ()),
        (ended(), task(started_at=ago(300)), ()),
        (ended(task_id="t0"), ended(), ()),
    ],
    ids=["same", "by us", "begun anew", "runs anew", "no start", "no end", "queued again", "new"],
)
def test_what_is_no_double_end(before: Any, after: Any, repaired: Any) -> None:
    assert ended_again(before, after, repaired) == {}


def late(now_is: dict[str, Any], *repairs: Any) -> dict[str, str]:
    return twice.written_late(TASKS, repairs, {"t1": read(now_is)})


TAKEN_BACK, FAILED = {"status": "pending"}, {"status": "failed"}


def test_a_write_of_the_worker_it_was_taken_from_is_seen() -> None:
    assert "became succeeded without having been claimed" in late(ended(), repair("requeue", TAKEN_BACK))["t1"]
    assert "became running without" in late(running(started_at=None), repair("requeue", TAKEN_BACK))["t1"]
    assert "a late write of its worker" in late(ended(), repair("expire", FAILED))["t1"]
    assert "a late write" in late(ended(), repair("cancel", {"status": "cancelled"}))["t1"]


@pytest.mark.parametrize(
    ("row", "repairs"),
    [
        (task(), [repair("requeue", TAKEN_BACK)]),
        (running(started_at=ago(5)), [repair("requeue", TAKEN_BACK)]),
        (ended(started_at=ago(5)), [repair("requeue", TAKEN_BACK)]),
        (task("cancelled"), [repair("requeue", TAKEN_BACK)]),
        (ended(), [repair("requeue", TAKEN_BACK, undone=True)]),
        (ended(), [repair("requeue", TAKEN_BACK, subject="t2")]),
        (task("x"), [repair("requeue", TAKEN_BACK)]),
        (task(), [repair("expire", FAILED)]),
        (ended(), [repair("fail", {"status": "odd"})]),
        (task("failed"), [repair("expire", FAILED, age=10, id=2), repair("requeue", TAKEN_BACK, age=60)]),
    ],
    ids=["still so", "claimed", "claimed and done", "cancelled", "undone", "another", "unreadable", "queued again",
         "not a state", "our own second repair"],
)  # fmt: skip
def test_what_is_no_late_write(row: Any, repairs: Any) -> None:
    assert late(row, *repairs) == {}


def test_a_claim_is_told_from_a_late_write_without_comparing_clocks() -> None:
    """It came within a moment of the repair, by a clock that is behind."""
    assert late(running(started_at=ago(61)), repair("requeue", TAKEN_BACK, age=60.0)) == {}
    nameless = replace(TASKS, fields=replace(TASKS.fields, started=()))
    jobs = {name: {"t1": read(ended(worker_id=name), nameless)} for name in ("w2", "")}
    told = {name: twice.written_late(nameless, [repair("requeue", TAKEN_BACK)], job) for name, job in jobs.items()}
    assert (told["w2"], list(told[""])) == ({}, ["t1"])


def test_a_row_is_as_a_repair_left_it() -> None:
    assert twice.untouched({"a": "2026-03-02T09:00:00Z", "b": 1}, {"a": "2026-03-02 09:00:00", "b": 1})
    assert not twice.untouched({"b": 2}, {"b": 1})


# ---------------------------------------------------------------- clocks


def test_times_are_told_in_the_other_clock() -> None:
    one = session(ended_at=ago(5))
    moved = shifting.session(one, HOUR)
    assert (moved.started_at, moved.beat_at, moved.ended_at) == tuple(
        t + HOUR for t in (one.started_at, one.beat_at, ago(5))
    )
    assert shifting.session(one, timedelta()) is one
    assert shifting.noted(repair("fail", {}), HOUR).at == ago(60) + HOUR
    assert shifting.noted(repair("fail", {}), HOUR).undone_at is None
    waits = job_ref("t1", started_at=ago(5))
    assert (shifting.ref(waits, HOUR).run_at, shifting.ref(waits, HOUR).started_at) == (
        waits.run_at + HOUR,
        ago(5) + HOUR,
    )
    assert shifting.ref(waits, timedelta()) is waits
    facts = control(
        restart(50), pause=Pause(ago(9), ago(-9), "ana"), resumed_at=ago(3), credits=(Credit("pause", ago(9), ago(1)),)
    )
    told = shifting.control(facts, HOUR)
    assert (told.now, told.resumed_at, told.restarts[0].at) == (NOW + HOUR, ago(3) + HOUR, ago(50) + HOUR)
    assert (told.pause.started_at, told.pause.until) == (ago(9) + HOUR, ago(-9) + HOUR)
    assert told.credits == (Credit("pause", ago(9) + HOUR, ago(1) + HOUR),)
    assert shifting.control(facts, timedelta()) is facts
    assert shifting.control(control(), HOUR).pause is None


# ---------------------------------------------------------------- the guard


def test_the_guards_text_names_the_table_and_quotes_what_the_settings_say() -> None:
    text = guard_text(replace(TASKS, table='public."; DROP', words=replace(TASKS.words, pending=("it's", "b"))))
    assert 'ON "public"."""; DROP"' in text
    assert "ARRAY['it''s', 'b']::text[]" in text
    assert "ARRAY[]::text[]" in guard_text(JOBS)


# ---------------------------------------------------------------- ids


@pytest.mark.parametrize(
    ("text", "kind", "may"),
    [("5", "integer", True), ("-5", "bigint", True), ("x", "integer", False), ("9" * 30, "bigint", False),
     ("x", "text", True), ("a\x00", "text", False), ("nope", "uuid", False),
     ("00000000-0000-0000-0000-000000000000", "uuid", True)],
)  # fmt: skip
def test_what_may_be_an_id_of_a_columns_type(text: str, kind: str, may: bool) -> None:
    assert may_be(text, kind) is may
