from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable

import pytest
from cli_kit import Place, new_session

from gradewatch.cli import follow
from gradewatch.model import Claimed, Finish, FinishKind, JobError, JobState, PaperResult
from gradewatch.stores.sqlite import SqliteStore


def test_the_id_is_alone_on_standard_output(place: Place) -> None:
    place.papers("a.pdf", "b.pdf")
    result = place.run("submit", "a.pdf", "b.pdf", "--rubric", place.rubric(), "--priority", "3")
    job = place.json("jobs", "show", result.stdout.strip())
    assert result.stdout == job["id"] + "\n"
    assert [paper["name"] for paper in job["payload"]["papers"]] == ["a.pdf", "b.pdf"]
    assert (job["status"], job["priority"], job["progress"]) == ("pending", 3, {"done": 0, "total": 2})
    assert f"gradewatch jobs show {job['id']}" in result.stderr


def test_the_first_submission_creates_the_embedded_database_and_says_so(place: Place) -> None:
    place.papers("a.pdf")
    command = ("submit", "a.pdf", "--rubric", place.rubric())
    assert "No worker has seen it yet" in place.run(*command).stderr
    assert "No worker has seen it yet" not in place.run(*command).stderr


def test_a_folder_stands_for_its_papers_in_order(place: Place) -> None:
    place.papers("exam/c.JPG", "exam/a.pdf", "exam/notes.txt", "exam/deeper/x.pdf", "z.dat")
    told = place.json("submit", "exam", "z.dat", "--rubric", place.rubric())
    assert told["papers"] == 3
    job = place.json("jobs", "show", told["job"])
    assert [paper["name"] for paper in job["payload"]["papers"]] == ["a.pdf", "c.JPG", "z.dat"]


def test_the_same_key_is_the_same_job(place: Place) -> None:
    place.papers("a.pdf")
    command = ("submit", "a.pdf", "--rubric", place.rubric(), "--key", "exam-1")
    assert place.run(*command).stdout == place.run(*command).stdout


def test_everything_that_is_wrong_is_told_at_once_and_nothing_submitted(place: Place) -> None:
    place.papers("a.pdf", "empty/readme.txt")
    rubric = place.rubric("exam: X\nquestions:\n  - id: Q1\n    marcks: 2\n  - label: nothing\n")
    told = place.run("submit", "a.pdf", "gone.pdf", "lost.pdf", "empty", "--rubric", rubric, code=2)
    assert told.stdout == ""
    for problem in ("gone.pdf: there is no such file", "lost.pdf", "empty: this folder has no", "marcks", "id"):
        assert problem in told.stderr
    assert not place.database.exists()


def test_a_rubric_that_is_not_there(place: Place) -> None:
    place.papers("a.pdf")
    assert "nowhere.yaml" in place.run("submit", "a.pdf", "--rubric", "nowhere.yaml", code=2).stderr


def test_a_queue_that_no_worker_looks_at_is_refused(place: Place) -> None:
    place.papers("a.pdf")
    command = ("submit", "a.pdf", "--rubric", place.rubric())
    told = place.run(*command, "--queue", "urgent", code=2).stderr
    assert told == "error: there is no queue 'urgent': the settings have default\n"
    (place.folder / "gradewatch.toml").write_text("[queues.urgent]\n")
    assert place.json(*command)["queue"] == "urgent"
    (place.folder / "gradewatch.toml").write_text("[queues.urgent]\n[queues.slow]\n")
    assert "which --queue? the settings have" in place.run(*command, code=2).stderr


class Meanwhile:
    """Something done to the submitted job by another process while a command waits for it."""

    def __init__(self, place: Place, work: Callable[[SqliteStore], object]) -> None:
        self._thread = threading.Thread(target=lambda: place.store(work))  # type: ignore[arg-type]

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._thread.join(30)


async def claimed(store: SqliteStore) -> Claimed:
    session = await store.open_session(new_session("worker-1"))
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if jobs := await store.claim(session, ["default"], ["grade"], 1):
            return Claimed(jobs[0].id, jobs[0].token)
        await asyncio.sleep(0.02)
    raise AssertionError("nothing was submitted")


async def grade(store: SqliteStore) -> None:
    claim = await claimed(store)
    await store.save_paper(claim, PaperResult(0, "a.pdf", "graded", 2.0, 2.0, {}))
    await store.finish([Finish(claim, FinishKind.SUCCEED, {})])


async def give_up(store: SqliteStore) -> None:
    claim = await claimed(store)
    await store.finish([Finish(claim, FinishKind.FAIL, error=JobError("payload", "its rubric is empty"))])


def test_wait_until_the_papers_are_graded(place: Place) -> None:
    place.papers("a.pdf")
    with Meanwhile(place, grade):
        result = place.run("submit", "a.pdf", "--rubric", place.rubric(), "--wait")
    assert len(result.stdout.split()) == 1, "the id alone, whoever waits"
    assert "succeeded 1/1" in result.stderr
    assert "a.pdf  2/2    graded" in result.stderr
    assert "1 paper: 1 graded" in result.stderr


def test_wait_for_a_job_that_fails(place: Place) -> None:
    place.papers("a.pdf")
    with Meanwhile(place, give_up):
        result = place.run("submit", "a.pdf", "--rubric", place.rubric(), "--wait", code=1)
    assert "its rubric is empty" in result.stderr


def test_wait_gives_a_program_the_whole_job(place: Place) -> None:
    place.papers("a.pdf")
    with Meanwhile(place, grade):
        result = place.run("submit", "a.pdf", "--rubric", place.rubric(), "--wait", "--json")
    told = json.loads(result.stdout)
    assert (told["status"], told["papers"][0]["marks"]) == ("succeeded", 2.0)


def test_wait_says_why_nothing_moves(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "STILL", 0.2)
    thrice = threading.Semaphore(0)
    explain = follow._Follower._say

    def say(self: follow._Follower, text: str) -> None:
        explain(self, text)
        thrice.release()

    monkeypatch.setattr(follow._Follower, "_say", say)

    async def later(store: SqliteStore) -> None:
        for _ in range(3):
            assert await asyncio.to_thread(thrice.acquire, timeout=20)
        await grade(store)

    place.papers("a.pdf")
    with Meanwhile(place, later):
        result = place.run("submit", "a.pdf", "--rubric", place.rubric(), "--wait")
    assert result.stderr.count("No worker has ever been seen on default") == 1, "once, however often it is found"
    assert "gradewatch worker" in result.stderr


def test_ctrl_c_leaves_the_job_running(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gradewatch.cli.progress.Lines.update", interrupt)
    place.papers("a.pdf")
    result = place.run("submit", "a.pdf", "--rubric", place.rubric(), "--wait", code=130)
    job = result.stdout.strip()
    assert f"The job goes on without you; to look at it: gradewatch jobs show {job}" in result.stderr
    assert place.json("jobs", "show", job)["status"] == JobState.PENDING
