from __future__ import annotations

import re

import pytest
from cli_kit import Place

from gradewatch.model import Claimed, Finish, FinishKind, JobError, PaperResult
from gradewatch.stores.sqlite import SqliteStore


async def graded(store: SqliteStore, session: str) -> None:
    """Claim the next job, grade one of its papers, fail at another, and finish it."""
    [job] = await store.claim(session, ["default"], ["grade"], 1)
    claim = Claimed(job.id, job.token)
    await store.save_paper(claim, PaperResult(0, "ada.pdf", "graded", 7.5, 10.0, {}))
    unreadable = PaperResult(1, "ben.pdf", "failed", None, 10.0, {}, JobError("paper_corrupt", "it is damaged"))
    await store.save_paper(claim, unreadable)
    await store.finish([Finish(claim, FinishKind.SUCCEED, {"papers": 2})])


def test_an_empty_list_says_so(place: Place) -> None:
    place.run("migrate")
    assert place.run("jobs", "list").stdout == "No such jobs.\n"
    assert place.json("jobs", "list") == []


def test_the_list_is_newest_first_and_filtered(place: Place) -> None:
    old, new = place.add_job(), place.add_job(queue="urgent")
    session = place.add_worker()
    place.claim(session)
    lines = place.run("jobs", "list").stdout.splitlines()
    assert [line.split()[:4] for line in lines[1:]] == [
        [new, "urgent", "pending", "0/3"],
        [old, "default", "running", "0/3"],
    ]
    assert "runs " in lines[2]
    assert "waits " in lines[1]
    assert [job["id"] for job in place.json("jobs", "list", "--queue", "urgent")] == [new]
    assert [job["id"] for job in place.json("jobs", "list", "--state", "running")] == [old]
    assert [job["id"] for job in place.json("jobs", "list", "--limit", "1")] == [new]


def test_show_has_the_papers_and_their_marks(place: Place) -> None:
    job = place.add_job(progress_total=2)
    session = place.add_worker()
    place.store(lambda store: graded(store, session))
    told = place.run("jobs", "show", job).stdout
    assert re.search(r"^state +succeeded, took \d", told, re.M)
    assert re.search(r"^papers +2 of 2 done$", told, re.M)
    assert re.search(r"^ada\.pdf +7\.5/10 +graded$", told, re.M)
    assert re.search(r"^ben\.pdf +-/10 +failed +it is damaged$", told, re.M)
    assert "2 papers: 1 graded, 0 for a person to review, 1 failed" in told
    told = place.json("jobs", "show", job)
    assert (told["status"], [paper["marks"] for paper in told["papers"]]) == ("succeeded", [7.5, None])


def test_an_unknown_job_is_told_and_exits_1(place: Place) -> None:
    place.run("migrate")
    assert place.run("jobs", "show", "nope", code=1).stderr.startswith("error: There is no job nope")
    assert place.run("jobs", "cancel", "nope", code=1).stderr.startswith("error: There is no job nope")


@pytest.mark.parametrize(("verb", "state"), [("fail", "failed"), ("cancel", "cancelled")])
def test_act_by_hand_and_undo_it(place: Place, verb: str, state: str) -> None:
    job = place.add_job()
    result = place.run("jobs", verb, job, "--reason", "wrong rubric")
    assert result.stdout == f"{job}  {state}\n"
    shown = place.json("jobs", "show", job)
    assert (shown["status"], shown["error"]["message"]) == (state, "wrong rubric")
    [entry] = place.json("audit", "--job", job)
    assert (entry["action"], entry["outcome"], entry["message"]) == (verb, "applied", "wrong rubric")
    assert "@" in entry["by"]
    sweep = result.stderr.split()[-1]
    assert sweep == entry["sweep"]
    place.run("undo", sweep)
    assert place.json("jobs", "show", job)["status"] == "pending"


def test_requeue_puts_a_failed_job_back(place: Place) -> None:
    job = place.add_job()
    place.run("jobs", "fail", job)
    assert place.json("jobs", "requeue", job)["jobs"][job]["status"] == "pending"


def test_each_job_has_its_own_answer(place: Place) -> None:
    pending, cancelled = place.add_job(), place.add_job()
    place.run("jobs", "cancel", cancelled)
    result = place.run("jobs", "cancel", cancelled, "nope", pending, code=1)
    assert result.stdout == f"{pending}  cancelled\n"
    assert f"Job {cancelled} is cancelled; only" in result.stderr
    assert "There is no job nope" in result.stderr
    told = place.json("jobs", "cancel", pending, code=1)
    assert "is cancelled" in told["jobs"][pending]["error"]
