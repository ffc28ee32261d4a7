"""What a watch reads of another application's rows, over every place: exact, bounded, and told where it cannot be."""

from __future__ import annotations

from dataclasses import replace

import pytest
from foreign_kit import CANCELLED, FAILED, PENDING, RUNNING, SUCCEEDED, There, expire, requeue
from places import FORMS, Ago, Supabase, ago

from gradewatch.errors import AccessDenied
from gradewatch.model import Outcome, Source

ZERO = "0001-01-01T00:00:00Z"  # how some languages write "not yet"


def seconds_since(there: There, when) -> float:
    return (there.place.now() - when).total_seconds()


async def test_the_queue_at_a_glance(there: There) -> None:
    there.add(created=ago(100)), there.add(created=ago(250))
    there.add(RUNNING, created=ago(90), started=ago(60))
    there.add(SUCCEEDED, created=ago(99), started=ago(70), finished=ago(30))
    await there.look()
    stats = await there.store.stats("jobs")
    assert (stats.pending, stats.running, stats.depth_exact) == (2, 1, True)
    assert 240 < seconds_since(there, stats.oldest_pending_at) < 290
    assert 50 < seconds_since(there, stats.oldest_running_at) < 100
    assert 20 < seconds_since(there, stats.last_finished_at) < 70


async def test_arrivals_and_endings_are_counted_while_one_looks(there: There) -> None:
    there.add(created=ago(100))
    there.add(SUCCEEDED, created=ago(99), started=ago(70), finished=ago(30))
    await there.look()
    before = await there.store.stats("jobs")
    assert before.enqueued_total == 0, "what was there before this watch is not its to count"
    one = there.add(created=ago(-1))
    there.add(FAILED, created=ago(-2), started=ago(-3), finished=ago(-4))
    after = await there.store.stats("jobs")
    assert after.enqueued_total == 2
    assert (after.finished_total["failed"], after.finished_total["succeeded"]) == (1, 0)
    there.set(one, state=SUCCEEDED, finished=ago(-5))
    assert (await there.store.stats("jobs")).finished_total["succeeded"] == 1


async def test_depth_beyond_the_cap_is_a_floor_and_says_so(there: There, monkeypatch) -> None:
    from gradewatch.stores.mapping import queue

    monkeypatch.setattr(queue, "CAP", 5)
    for _ in range(5):
        there.add(created=ago(10))
    stats = await there.store.stats("jobs")
    assert (stats.pending, stats.depth_exact) == (5, False)


async def test_late_jobs_oldest_first_whatever_form_their_times_have(there: There) -> None:
    forms = [form for form in FORMS if form in there.place.forms]
    ids = [str(there.add(created=Ago(4000 - 100 * n, forms[n % len(forms)]))) for n in range(16)]
    there.add(created=Ago(10, forms[-1]))
    assert [ref.id for ref in await there.late()] == ids
    assert [ref.id for ref in await there.late(limit=3)] == ids[:3]
    [oldest] = await there.late(age=0.0, limit=1)
    assert oldest.id == ids[0]


async def test_running_jobs_by_their_start_or_whatever_stands_for_it(there: There) -> None:
    first = there.add(RUNNING, created=ago(9000), started=ago(3000))
    fallback = there.mapping.fields.started[1] if len(there.mapping.fields.started) > 1 else None
    second = there.add(RUNNING, created=ago(9000), **{fallback or "started": ago(2000)})
    there.add(RUNNING, created=ago(9000), started=ago(100))
    assert [ref.id for ref in await there.late(RUNNING, 1800.0)] == [str(first), str(second)]


async def test_kinds_that_are_not_watched_hide_nothing(there: There) -> None:
    for n in range(90):
        there.add(created=ago(9000 - n), kind="other")
    late = there.add(created=ago(400), kind="grade")
    there.queue = replace(there.queue, kinds=("grade",))
    await there.again()
    assert [ref.id for ref in await there.late(limit=5)] == [str(late)]
    stats = await there.store.stats("jobs")
    assert (stats.pending, seconds_since(there, stats.oldest_pending_at) < 500) == (1, True)


async def test_jobs_that_were_put_back_hide_nothing(there: There) -> None:
    for _ in range(8):
        there.add(created=ago(9000))
    await there.outcomes(*map(expire, await there.late()))
    await there.undo()
    late = there.add(created=ago(400))
    assert [ref.id for ref in await there.late(limit=2)] == [str(late)]


# ---------------------------------------------------------------- rows that cannot be understood


async def test_rows_that_cannot_be_understood_are_told_of_and_left_alone(there: There) -> None:
    strange = {
        "no time": there.add(created=None),
        "future": there.add(created=ago(-7200)),
        "running, no start": there.add(RUNNING, created=ago(9000)),
        "running, future": there.add(RUNNING, created=ago(9000), started=ago(-7200)),
    }
    if there.place.any_type or "naive" in there.place.forms:
        strange |= {
            "text": there.add(created="yesterday"),
            "empty": there.add(created=""),
            "no such day": there.add(created="2026-02-30T09:00:00Z"),
            "zero": there.add(created=ZERO),
        }
    if there.place.any_type:
        strange |= {
            "object": there.add(created={"at": 5}),
            "bool": there.add(created=True),
            "list": there.add(created=[there.place.now()]),
            "number": there.add(created=float("nan")),
            "missing": there.place.add({"status": "pending"}),
            "word": there.add("frobnicated", created=ago(9000)),
            "state is an object": there.add({"phase": "pending"}, created=ago(9000)),
            "state is a list": there.add(["pending"], created=ago(9000)),
            "state is missing": there.place.add({"created_at": ago(9000)}),
            "no id": there.place.add({"task_id": None, "status": "pending", "created_at": ago(9000)}),
        }
    rows = {name: repr(there.row(id)) for name, id in strange.items()}
    late = there.add(created=ago(400))
    facts = await there.look()
    told = "\n".join(facts.unreadable)
    assert {name for name, id in strange.items() if f"job {id or '(no id)'}:" not in told} == set()
    assert [ref.id for ref in await there.late(age=0.0)] == [str(late)]
    assert await there.late(RUNNING, 0.0) == []
    assert [ref.id for ref in await there.late(limit=1)] == [str(late)], "they hide nothing"
    assert (await there.outcomes(expire(await there.one()))) == [Outcome.APPLIED]
    assert {name: repr(there.row(id)) for name, id in strange.items()} == rows


async def test_a_naive_time_is_in_utc(there: There) -> None:
    if "naive" not in there.place.forms:
        return
    there.add(created=Ago(400, "naive"))
    [ref] = await there.late()
    assert 390 < seconds_since(there, ref.run_at) < 450


async def test_an_id_that_stands_twice_is_told_of_and_left_alone(there: There) -> None:
    if there.place.unique:
        return
    for _ in range(2):
        there.add(id="twice", created=ago(400))
    late = there.add(created=ago(350))
    await there.look()
    refs = await there.late()
    assert [ref.id for ref in refs] == [str(late)]
    held = await there.store.job("twice")
    assert held is not None
    facts = await there.look()
    assert [line for line in facts.unreadable if "twice" in line] == ["job twice: 2 rows have this id"]


async def test_a_double_that_was_not_seen_is_not_touched(there: There) -> None:
    if there.place.unique:
        return
    there.add(id="twice", created=ago(400))
    ref = await there.one()
    there.add(id="twice", created=ago(10))
    [result] = await there.repair(expire(ref))
    assert (result.outcome, result.detail) == (Outcome.NOOP, "2 rows have this id: none is touched")
    assert there.place.tasks.count_documents({"status": "pending"}) == 2
    facts = await there.look()
    assert "job twice: 2 rows have this id" in facts.unreadable


# ---------------------------------------------------------------- whose worker lives


async def test_without_evidence_nobody_is_known_to_live_or_to_be_dead(there: There) -> None:
    held = there.add(RUNNING, created=ago(900), started=ago(800), worker="w1")
    facts = await there.look()
    [session] = await there.store.sessions()
    assert (session.source, session.name) == (Source.NOTHING, "w1")
    assert await there.store.held("jobs", [], kinds=None, limit=10) == []
    assert [ref.id for ref in facts.unattributed] == [str(held)]


async def test_a_job_stands_for_its_worker_where_it_is_said_to_move(there: There) -> None:
    fields = replace(there.mapping.fields, progress_done="progress", progress_total="100")
    await there.again(fields=fields, silence=60.0)
    held = there.add(RUNNING, created=ago(900), started=ago(800), worker="w1", progress=3)
    facts = await there.look()
    [session] = await there.store.sessions()
    assert (session.source, facts.unattributed) == (Source.JOB, ())
    assert await there.store.end_session(session.id, "silent", beats=session.beats)
    [lost] = await there.store.held("jobs", [session.id], kinds=None, limit=10)
    assert (lost.id, lost.session_id) == (str(held), session.id)
    there.set(held, progress=4)
    assert not await there.store.end_session(session.id, "silent", beats=session.beats), "it moved"
    assert (await there.store.sessions())[0].beats != session.beats


async def test_a_worker_that_beats_speaks_for_its_jobs(there: There) -> None:
    held, other = (there.add(RUNNING, created=ago(900), started=ago(800 - n), worker=f"w{n}") for n in (1, 2))
    session = await there.worker("w1")
    facts = await there.look()
    assert [ref.id for ref in facts.unattributed] == [str(other)]
    assert {s.source for s in await there.store.sessions() if s.id == session} == {Source.BEATS}
    [lost] = await there.store.held("jobs", [session], kinds=None, limit=10)
    assert lost.id == str(held)
    assert await there.store.end_session(session, "killed")
    await there.store.sessions()
    assert [ref.id for ref in await there.store.held("jobs", [], kinds=None, limit=10)] == [str(held)]


# ---------------------------------------------------------------- two workers on one job


async def test_a_job_that_two_workers_took_is_told_of(there: There) -> None:
    held = there.add(RUNNING, created=ago(100), started=ago(20), worker="w1")
    assert (await there.look()).run_twice == ()
    there.set(held, started=ago(15), worker="w2")
    [(job, seen)] = (await there.look()).run_twice
    assert (job, seen) == (str(held), "w1 was running it when w2 took it too")


async def test_a_job_that_was_finished_twice_is_told_of(there: There) -> None:
    """Two workers took it in one moment, before anybody could look: the second one's end gives them away."""
    held = there.add(RUNNING, created=ago(100), started=ago(60), worker="w2")
    await there.look()
    there.set(held, state=SUCCEEDED, finished=ago(30))
    assert (await there.look()).run_twice == ()
    there.set(held, finished=ago(10))
    [(job, seen)] = (await there.look()).run_twice
    assert job == str(held)
    assert "again" in seen
    assert "without having been started" in seen


async def test_a_finished_job_that_is_worked_on_again_is_told_of_unless_it_was_claimed(there: There) -> None:
    late, anew = (there.add(SUCCEEDED, created=ago(100), started=ago(60), finished=ago(30)) for _ in range(2))
    await there.look()
    there.set(late, state=RUNNING, worker="w2")
    there.set(anew, state=RUNNING, started=ago(5), worker="w2")
    [(job, _)] = (await there.look()).run_twice
    assert job == str(late)


async def test_a_late_write_of_a_worker_that_lost_its_job_is_told_of(there: There) -> None:
    held = there.add(RUNNING, created=ago(900), started=ago(800), worker="w1")
    await there.outcomes(requeue(await there.one(RUNNING)))
    assert (await there.look()).run_twice == ()
    there.set(held, state=SUCCEEDED, finished=ago(0))
    [(job, seen)] = (await there.look()).run_twice
    assert job == str(held)
    assert "became succeeded without having been claimed again" in seen


async def test_a_job_that_was_claimed_again_or_cancelled_is_no_late_write(there: There) -> None:
    again, dropped = (there.add(RUNNING, created=ago(900), started=ago(800), worker="w1") for _ in range(2))
    await there.outcomes(*map(requeue, await there.late(RUNNING)))
    there.set(again, state=RUNNING, started=ago(1), worker="w2")  # at once, by a clock that is a little behind
    if there.mapping.words.cancelled:
        there.set(dropped, state=CANCELLED, finished=ago(0))
    assert (await there.look()).run_twice == ()
    there.set(again, state=SUCCEEDED, finished=ago(-3))
    assert (await there.look()).run_twice == ()


async def test_what_the_watch_and_people_do_is_nobodys_late_write(there: There) -> None:
    held = there.add(RUNNING, created=ago(900), started=ago(800), worker="w1")
    await there.outcomes(requeue(await there.one(RUNNING)))
    await there.store.operate(str(held), "fail", by="ana", sweep="s2", message="enough", seen=None)
    assert (await there.look()).run_twice == ()
    await there.undo("s2")
    assert (await there.look()).run_twice == ()


async def test_an_application_whose_clock_is_an_hour_behind(there: There) -> None:
    """What it has just written looks an hour old: nothing is late for that, and it is told."""
    there.add(created=ago(3660))
    assert (await there.look()).behind == 0.0
    new = there.add(created=ago(3600))
    facts = await there.look()
    assert 3500 < facts.behind < 3601
    assert str(new) not in [ref.id for ref in await there.late()]
    [oldest, *_] = await there.late(age=0.0)
    assert (there.place.now() - oldest.run_at).total_seconds() < 200
    there.add(created=ago(-1))
    assert (await there.look()).behind == 0.0, "its clock was set right"
    assert str(new) in [ref.id for ref in await there.late()]


# ---------------------------------------------------------------- lists


async def test_lists_and_pages(there: There) -> None:
    ids = [str(there.add(PENDING if n % 2 else SUCCEEDED, created=ago(100 + n))) for n in range(7)]
    jobs = await there.store.jobs(limit=3)
    assert [job.id for job in jobs] == ids[:3]
    more = await there.store.jobs(limit=10, before=jobs[-1].id)
    assert [job.id for job in more] == ids[3:]
    assert [job.id for job in await there.store.jobs(queue="jobs", state=PENDING)] == ids[1::2]
    shown = await there.store.job(ids[0])
    assert (shown.state, shown.queue) == (SUCCEEDED, "jobs")
    assert await there.store.job("nowhere") is None


async def test_watching_and_repairing_makes_nothing_in_the_applications_place(there: There) -> None:
    names = there.place.names()
    there.add(created=ago(400)), there.add(RUNNING, created=ago(900), started=ago(800))
    await there.look()
    await there.outcomes(expire(await there.one()), requeue(await there.one(RUNNING)))
    await there.undo()
    await there.store.jobs()
    assert there.place.names() == names


async def test_the_index_is_asked_for_when_it_is_worth_it_and_made_on_demand(there: There, monkeypatch) -> None:
    from gradewatch.stores.mapping import queue

    there.add(created=ago(10)), there.add(created=ago(20))
    assert (await there.store.check(["jobs"])).missing_indexes == (), "a small table needs none"
    monkeypatch.setattr(queue, "CAP", 2)
    lacks = (await there.store.check(["jobs"])).missing_indexes
    if isinstance(there.place, Supabase):  # over its API nobody sees an index, nor makes one
        assert (lacks, len(there.store.index_statements())) == ((), 1)
        with pytest.raises(AccessDenied, match="no such statement over its API"):
            await there.store.make_indexes()
        return
    made = await there.store.make_indexes()
    assert bool(lacks) == bool(made) == (not getattr(there.place, "indexed", False))
    assert await there.store.make_indexes() == []
    assert (await there.store.check(["jobs"])).missing_indexes == ()
    assert set(made) <= set(there.store.index_statements())
