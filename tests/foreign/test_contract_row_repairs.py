"""Repairs of another application's rows, over every place: guarded, noted, undone, and never a wrong one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from foreign_kit import CANCELLED, FAILED, PENDING, RUNNING, SUCCEEDED, SWEEP, There, expire, fail, requeue
from places import FORMS, Ago, ago

from gradewatch.config.foreign import Fields
from gradewatch.errors import Conflict, NotFound
from gradewatch.model import ActionKind, JobState, Outcome, RowNote
from gradewatch.stores.mapping.times import read_time

APPLIED, NOOP = Outcome.APPLIED, Outcome.NOOP


async def test_a_job_that_waited_too_long_is_failed_with_the_reason(there: There) -> None:
    late, young = there.add(created=ago(400)), there.add(created=ago(20))
    before = there.row(late)
    ref = await there.one()
    assert (ref.id, ref.state, ref.attempt) == (str(late), PENDING, 0)
    assert await there.outcomes(expire(ref)) == [APPLIED]

    after, fields = there.row(late), there.mapping.fields
    assert there.state(late) is FAILED
    assert after[fields.error] == "It waited too long."
    finished = fields.finished[0]
    assert abs((read_time(after[finished]) - there.place.now()).total_seconds()) < 30
    touched = {name for name in after if after[name] != before.get(name)}
    assert touched == {fields.state, fields.error, finished}
    assert there.state(young) is PENDING
    assert await there.audit() == [("expire", str(late), "applied")]
    assert await there.spent() == {ActionKind.EXPIRE: 1}


@pytest.mark.parametrize(
    "meanwhile",
    [
        {"state": SUCCEEDED},
        {"state": RUNNING, "started": ago(0), "worker": "w1"},
        {"state": PENDING, "created": ago(1)},
        {"attempts": 1},
    ],
    ids=["finished", "claimed", "queued anew", "an attempt"],
)
async def test_a_job_that_changed_meanwhile_is_left_alone(there: There, meanwhile: dict) -> None:
    late = there.add(created=ago(400), attempts=0)
    ref = await there.one()
    there.set(late, **meanwhile)
    found = there.row(late)
    assert await there.outcomes(expire(ref)) == [NOOP]
    assert there.row(late) == found
    assert await there.audit() == [("expire", str(late), "noop")]
    assert await there.spent() == {}
    assert await there.undo() == []


async def test_a_running_job_that_moved_meanwhile_is_left_alone(there: There) -> None:
    await there.again(fields=_with_progress(there))
    held = there.add(RUNNING, created=ago(900), started=ago(800), worker="w1", progress=3)
    ref = await there.one(RUNNING)
    there.set(held, progress=4)
    assert await there.outcomes(requeue(ref)) == [NOOP]
    assert (there.row(held)["progress"], there.state(held)) == (4, RUNNING)


def _with_progress(there: There) -> Fields:
    return replace(there.mapping.fields, progress_done="progress", progress_total="100")


async def test_of_many_repairs_each_has_its_own_outcome(there: There) -> None:
    ids = [there.add(created=ago(500 - n)) for n in range(30)]
    refs = await there.late()
    assert [ref.id for ref in refs] == [str(one) for one in ids]
    for one in ids[::3]:
        there.set(one, state=SUCCEEDED)
    assert await there.outcomes(*map(expire, refs)) == [NOOP if n % 3 == 0 else APPLIED for n in range(30)]
    assert [there.state(one) for one in ids] == [SUCCEEDED if n % 3 == 0 else FAILED for n in range(30)]
    assert await there.spent() == {ActionKind.EXPIRE: 20}
    again = [n for n in ids if there.state(n) is FAILED]
    assert await there.undo() == [(str(one), True) for one in reversed(again)]


async def test_a_job_taken_back_waits_again_and_is_charged_once(there: There) -> None:
    held = there.add(RUNNING, created=ago(900), started=ago(800), worker="w1", attempts=1)
    ref = await there.one(RUNNING)
    assert (ref.attempt, ref.lost) == (1, 0)
    assert await there.outcomes(requeue(ref)) == [APPLIED]
    row, fields = there.row(held), there.mapping.fields
    assert there.state(held) is PENDING
    assert row["attempts"] == 2
    assert [row[name] for name in (fields.started[0], "worker_id")] == [None, None]
    # Its wait begins anew: it is not failed at once for the time it ran.
    assert await there.late() == []
    [waiting] = await there.late(age=0.0)
    assert (there.place.now() - waiting.run_at).total_seconds() < 60
    assert (waiting.lost, waiting.attempt) == (1, 2)


async def test_attempts_that_the_worker_counts_itself_are_not_charged_twice(there: There) -> None:
    await there.again(charge_attempts=False)
    held = there.add(RUNNING, created=ago(900), started=ago(800), attempts=1)
    assert await there.outcomes(requeue(await there.one(RUNNING))) == [APPLIED]
    assert there.row(held)["attempts"] == 1


async def test_how_often_a_job_was_lost_is_known_where_nobody_counts(there: There) -> None:
    """Its worker never raises attempts: what the watch noted counts, over restarts of the watch."""
    await there.again(charge_attempts=False)
    held = there.add(RUNNING, created=ago(900), started=ago(800), attempts=0)
    for lost in (1, 2):
        assert await there.outcomes(requeue(await there.one(RUNNING)), sweep=f"sweep-{lost}") == [APPLIED]
        there.set(held, state=RUNNING, started=ago(700))
        await there.again()
        assert (await there.one(RUNNING)).lost == lost
    assert await there.outcomes(fail(await there.one(RUNNING))) == [APPLIED]
    assert there.row(held)[there.mapping.fields.error] == "It killed its workers."
    # A person who puts it back gives all of its attempts back.
    await there.store.operate(str(held), "requeue", by="ana", sweep="by-hand", message="", seen=None)
    there.set(held, state=RUNNING, started=ago(700))
    assert (await there.one(RUNNING)).lost == 0


# ---------------------------------------------------------------- undo


async def test_undo_gives_back_what_is_still_as_we_left_it(there: There) -> None:
    waited, ran, moved = (
        there.add(created=ago(500)),
        there.add(RUNNING, created=ago(900), started=ago(800), worker="w1", attempts=1),
        there.add(created=ago(600)),
    )
    rows = {id: there.row(id) for id in (waited, ran)}
    refs = {ref.id: ref for ref in (*await there.late(), *await there.late(RUNNING))}
    actions = expire(refs[str(waited)]), requeue(refs[str(ran)]), expire(refs[str(moved)])
    assert await there.outcomes(*actions) == [APPLIED] * 3
    there.set(moved, state=RUNNING, started=ago(0))

    assert dict(await there.undo()) == {str(waited): True, str(ran): True, str(moved): False}
    assert {k: v for k, v in there.row(waited).items() if v is not None} == {
        k: v for k, v in rows[waited].items() if v is not None
    }
    assert (there.state(ran), there.row(ran)["attempts"]) == (PENDING, 1), "nobody may go on working on it unasked"
    assert there.state(moved) is RUNNING
    assert await there.late() == [], "what was undone waits anew"
    assert await there.undo() == [(str(moved), False)], "what was put back is put back once"
    assert ("undo", str(waited), "applied") in await there.audit()


async def test_undo_reaches_all_of_a_large_sweep(there: There) -> None:
    """A sweep holds as many repairs as remediation.batch allows, and more."""
    late = there.add(created=ago(500))
    await there.outcomes(expire(await there.one()))
    note = RowNote("expire", "jobs", "gone", "job_timed_out", "late", {"status": "x"}, {"status": "y"})
    await there.records.note_repairs([replace(note, subject=f"gone-{n}") for n in range(1500)], sweep=SWEEP, by="w")
    back = await there.undo()
    assert len(back) == 1501
    assert [subject for subject, done in back if done] == [str(late)]


# ---------------------------------------------------------------- by hand


async def test_a_person_fails_cancels_and_requeues(there: There) -> None:
    one, two = there.add(created=ago(5)), there.add(RUNNING, created=ago(9), started=ago(8), attempts=2)
    failed = await there.store.operate(str(one), "fail", by="ana", sweep="s1", message="wrong exam", seen=(PENDING, 0))
    assert (failed.id, failed.state, failed.error.message) == (str(one), FAILED, "wrong exam")
    await there.store.operate(str(two), "cancel", by="ana", sweep="s2", message="", seen=None)
    # Where the application has no word for it, a cancelled job is a failed one.
    assert there.state(two) is (CANCELLED if there.mapping.words.cancelled else FAILED)
    back = await there.store.operate(str(two), "requeue", by="ana", sweep="s3", message="", seen=None)
    assert (back.state, back.attempt, back.finished_at, back.error) == (PENDING, 0, None, None)
    assert there.row(two).get(there.mapping.fields.error) is None
    assert await there.audit() == [("fail", str(one), "applied"), ("cancel", str(two), "applied"),
                                   ("requeue", str(two), "applied")]  # fmt: skip
    assert await there.spent() == {}, "what a person does spends no budget of the watch"
    assert await there.undo("s1") == [(str(one), True)]
    assert there.state(one) is PENDING


async def test_a_person_is_told_what_cannot_be_done(there: There) -> None:
    done = there.add(SUCCEEDED, created=ago(50), started=ago(40), finished=ago(5))
    with pytest.raises(Conflict, match=r"only a pending or running job"):
        await there.store.operate(str(done), "fail", by="ana", sweep="s", message="", seen=None)
    with pytest.raises(Conflict, match="succeeded by now and was pending"):
        await there.store.operate(str(done), "requeue", by="ana", sweep="s", message="", seen=(PENDING, 0))
    for unknown in ("00000000-0000-0000-0000-000000000000", "no such id", "'; --", ""):
        with pytest.raises(NotFound):
            await there.store.operate(unknown, "fail", by="ana", sweep="s", message="", seen=None)
    assert await there.audit() == []


# ---------------------------------------------------------------- times in the form they were found


@pytest.mark.parametrize("form", FORMS)
async def test_a_time_is_written_in_the_form_that_the_row_has_its_others_in(there: There, form: str) -> None:
    if form not in there.place.forms:
        return
    late = there.add(created=Ago(3600, form))
    assert await there.outcomes(expire(await there.one())) == [APPLIED]
    row, fields = there.row(late), there.mapping.fields
    created, finished = row[fields.created[0]], row[fields.finished[0]]
    assert type(finished) is type(created)
    if isinstance(created, str):
        assert finished[10] == created[10]
        assert finished.endswith("Z") == created.endswith("Z")
        assert finished[-6:].count("+") == created[-6:].count("+")
    assert abs((read_time(finished) - there.place.now()).total_seconds()) < 30
    assert await there.undo() == [(str(late), True)]
    assert there.row(late)[fields.created[0]] == created


async def test_settings_say_what_else_is_written(there: There) -> None:
    extra = "error_traceback" if there.place.preset == "supabase-jobs" else "why"
    await there.again(write={"expire": {extra: "$code"}, "requeue": {extra: "$error"}})
    late = there.add(created=ago(400))
    await there.outcomes(expire(await there.one()))
    assert there.row(late)[extra] == "schedule_to_start"
    assert await there.undo() == [(str(late), True)]
    assert there.row(late).get(extra) is None


def test_states_are_all_known() -> None:
    assert {PENDING, RUNNING, SUCCEEDED, FAILED, CANCELLED} == set(JobState)
