"""One paper through the pipeline, one job through its handler: checkpoints, bad papers, lost claims, cancelling."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from structlog.testing import capture_logs

from gradewatch.config import WorkerSettings
from gradewatch.errors import Conflict, PaperError, PayloadError, StoreUnavailable
from gradewatch.model import Job, JobState, PaperRef, PaperResult
from gradewatch.worker.context import JobContext
from gradewatch.worker.grading import RubricGrader
from gradewatch.worker.pipeline import GRADE, GradePayload, build_payload, grade_paper, make_grade_handler
from gradewatch.worker.rubric import Rubric

RUBRIC = Rubric.from_dict({"exam": "x", "questions": [{"id": "Q1", "keywords": ["cloudy", "milky"]}]})
SHA = "ab" * 32


class ScriptedOcr:
    """Says what it is told to, page after page; the last saying stays."""

    name = "scripted"

    def __init__(self, *says: tuple[str, float] | Exception) -> None:
        self.says = list(says)
        self.pages = 0

    async def read(self, image: Any) -> tuple[str, float]:
        said = self.says[min(self.pages, len(self.says) - 1)]
        self.pages += 1
        await asyncio.sleep(0)
        if isinstance(said, Exception):
            raise said
        return said


class BrokenGrader:
    name = "broken"

    def __init__(self, fault: Exception) -> None:
        self.fault = fault

    async def grade(self, text: str, rubric: Any, confidence: float) -> Sequence[Mapping[str, Any]]:
        raise self.fault


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    path = tmp_path / "scan.png"
    Image.new("L", (300, 300), 240).save(path)
    return path


async def grade(path: Path, *says: tuple[str, float] | Exception, grader: Any = None) -> PaperResult:
    return await grade_paper(
        path, "a.png", 3, RUBRIC, ocr=ScriptedOcr(*says), grader=grader or RubricGrader(), settings=WorkerSettings()
    )


# ---------------------------------------------------------------- one paper


async def test_a_clear_paper_is_graded(scan: Path) -> None:
    result = await grade(scan, ("Q1 cloudy, then milky", 0.9))
    assert (result.index, result.name, result.status, result.error) == (3, "a.png", "graded", None)
    assert (result.marks, result.max_marks) == (2.0, 2.0)
    assert result.detail["source"] == "scripted"
    assert (result.detail["pages"], result.detail["confidence"]) == (1, 0.9)
    assert result.detail["questions"][0]["matched"] == ["cloudy", "milky"]
    assert json.loads(json.dumps(dict(result.detail))) == result.detail


async def test_a_doubtful_paper_names_the_question_to_look_at(scan: Path) -> None:
    result = await grade(scan, ("Q1 cloudy", 0.3))
    assert (result.status, result.marks, result.detail["reason"]) == ("needs_review", 1.0, "look at Q1")


async def test_a_blank_paper_needs_a_person_and_gets_nothing(scan: Path) -> None:
    result = await grade(scan, ("  \n", 0.0))
    assert (result.status, result.marks, result.error) == ("needs_review", 0.0, None)
    assert "blank" in result.detail["reason"]


async def test_an_unreadable_paper_fails_with_its_error(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(b"%PDF-1.4 cut")
    result = await grade(path, ("", 0.0))
    assert (result.status, result.marks, result.max_marks) == ("failed", None, 2.0)
    assert result.error is not None
    assert result.error.code == "paper_corrupt"


async def test_a_fault_of_ours_fails_the_paper_and_is_logged(scan: Path) -> None:
    with capture_logs() as logs:
        result = await grade(scan, ("Q1 secret words", 1.0), grader=BrokenGrader(ZeroDivisionError("secret words")))
    assert result.status == "failed"
    assert result.error is not None
    assert (result.error.code, "secret" in result.error.message) == ("grader_broken", False)
    assert [entry["event"] for entry in logs] == ["paper broke the grader"]


async def test_an_error_that_is_not_the_papers_is_raised(scan: Path) -> None:
    with pytest.raises(StoreUnavailable):
        await grade(scan, ("Q1", 1.0), grader=BrokenGrader(StoreUnavailable("gone")))


async def test_a_paper_is_cancelled_between_pages(scan: Path) -> None:
    begun, never = asyncio.Event(), asyncio.Event()

    class Stuck(ScriptedOcr):
        async def read(self, image: Any) -> tuple[str, float]:
            begun.set()
            await never.wait()
            return "", 0.0

    task = asyncio.create_task(
        grade_paper(scan, "a", 0, RUBRIC, ocr=Stuck(), grader=RubricGrader(), settings=WorkerSettings())
    )
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_long_texts_are_bounded(scan: Path) -> None:
    result = await grade(scan, ("Q1 cloudy " + "word " * 500_000, 1.0))
    assert len(result.detail["text"]) == 2000
    assert result.marks == 1.0


# ---------------------------------------------------------------- payloads


def test_a_payload_goes_and_comes_back() -> None:
    papers = (PaperRef("a.pdf", SHA, 10), PaperRef("b.pdf", SHA, 0))
    payload = json.loads(json.dumps(build_payload(papers, RUBRIC)))
    assert GradePayload.parse(payload) == GradePayload(papers, RUBRIC)
    assert GRADE == "grade"


def test_every_problem_of_a_payload_is_named() -> None:
    broken = {
        "papers": [{"name": "", "sha256": "xyz", "size": -1, "sice": 2}, 7],
        "rubric": {"exam": "x", "questions": [{"id": "Q1"}]},
        "rubrik": 1,
    }
    with pytest.raises(PayloadError) as refused:
        GradePayload.parse(broken)
    for expected in (
        "unknown key 'rubrik'; did you mean 'rubric'?",
        "papers[0]: unknown key 'sice'; did you mean 'size'?",
        "papers[0].name: must not be empty",
        "papers[0].sha256: must be the 64 lower-case hex digits",
        "papers[0].size: must be at least 0",
        "papers[1]: must be a mapping",
        "rubric: questions[0]: has neither keywords nor a number",
    ):
        assert expected in str(refused.value)


@pytest.mark.parametrize("payload", [None, [], "x", {}, {"papers": [], "rubric": RUBRIC.to_dict()}, {"papers": 1}])
def test_any_wrong_shape_is_a_payload_error(payload: Any) -> None:
    with pytest.raises(PayloadError):
        GradePayload.parse(payload)


def test_an_unusable_payload_is_not_built() -> None:
    with pytest.raises(PayloadError, match="papers: is empty"):
        build_payload([], RUBRIC)


# ---------------------------------------------------------------- one job


class Context:
    """A job over files of a folder, with checkpoints in memory."""

    def __init__(self, folder: Path, payload: Any, saved: Sequence[PaperResult] = ()) -> None:
        self.folder = folder
        self.settings = WorkerSettings()
        self.job = job(payload)
        self.saved = list(saved)
        self.said: list[tuple[int, int, str]] = []
        self.lost_at: int | None = None

    async def progress(self, done: int, total: int, message: str = "") -> None:
        self.said.append((done, total, message))

    async def save_paper(self, result: PaperResult) -> None:
        if result.index == self.lost_at:
            raise Conflict("the claim is lost")
        self.saved.append(result)

    async def saved_papers(self) -> list[PaperResult]:
        return list(self.saved)

    @asynccontextmanager
    async def paper(self, ref: PaperRef) -> AsyncIterator[Path]:
        if not (self.folder / ref.name).exists():
            raise PaperError("paper_missing", f"{ref.name} is not in the store any more; upload it again")
        yield self.folder / ref.name


def job(payload: Any) -> Job:
    now = datetime(2026, 1, 5, tzinfo=UTC)
    return Job(
        id="j1",
        queue="default",
        kind=GRADE,
        state=JobState.RUNNING,
        priority=0,
        attempt=1,
        max_attempts=3,
        lost=0,
        token=1,
        run_alone=False,
        session_id="s1",
        created_at=now,
        run_at=now,
        started_at=now,
        finished_at=None,
        updated_at=now,
        progress_done=0,
        progress_total=0,
        status_message="",
        payload=payload,
        result=None,
        error=None,
    )


def context(folder: Path, *names: str, saved: Sequence[PaperResult] = ()) -> Context:
    return Context(folder, build_payload([PaperRef(name, SHA, 1) for name in names], RUBRIC), saved)


async def run(ctx: Context, ocr: ScriptedOcr) -> Mapping[str, Any]:
    typed: JobContext = ctx
    return await make_grade_handler(ocr, RubricGrader())(typed)


async def test_a_job_grades_every_paper_and_no_bad_one_fails_it(scan: Path) -> None:
    (scan.parent / "bad.pdf").write_bytes(b"%PDF-1.4")
    ctx = context(scan.parent, "scan.png", "bad.pdf", "gone.pdf", "scan.png")
    with capture_logs() as logs:
        result = await run(ctx, ScriptedOcr(("Q1 cloudy, milky", 1.0), ("Q1 cloudy", 0.2)))
    assert result == {
        "papers": 4,
        "graded": 1,
        "needs_review": 1,
        "failed": 2,
        "marks": {"scan.png": 2.0, "bad.pdf": None, "gone.pdf": None, "scan.png (2)": 1.0},
    }
    assert [saved.index for saved in ctx.saved] == [0, 1, 2, 3]
    assert ctx.said == [(done, 4, f"{done} of 4 papers graded") for done in range(5)]
    graded = [entry for entry in logs if entry["event"] == "paper graded"]
    assert [(entry["job"], entry["index"], entry["status"]) for entry in graded] == [
        ("j1", 0, "graded"),
        ("j1", 1, "failed"),
        ("j1", 2, "failed"),
        ("j1", 3, "needs_review"),
    ]
    assert "cloudy" not in str(logs)


async def test_papers_of_an_earlier_attempt_are_not_graded_again(scan: Path) -> None:
    done = PaperResult(1, "scan.png", "graded", 1.5, 2.0, {})
    foreign = PaperResult(9, "x", "graded", 1.0, 2.0, {})
    ctx = context(scan.parent, "scan.png", "scan.png", saved=[foreign, done])
    ocr = ScriptedOcr(("Q1 cloudy, milky", 1.0))
    result = await run(ctx, ocr)
    assert ocr.pages == 1
    assert result["marks"] == {"scan.png": 2.0, "scan.png (2)": 1.5}
    assert [saved.index for saved in ctx.saved] == [9, 1, 0]


async def test_a_lost_claim_stops_the_job(scan: Path) -> None:
    ctx = context(scan.parent, "scan.png", "scan.png", "scan.png")
    ctx.lost_at = 1
    ocr = ScriptedOcr(("Q1 cloudy", 1.0))
    with pytest.raises(Conflict):
        await run(ctx, ocr)
    assert ocr.pages == 2
    assert [saved.index for saved in ctx.saved] == [0]


async def test_a_payload_of_the_wrong_shape_is_told_before_any_work(scan: Path) -> None:
    ctx = Context(scan.parent, {"paper": []})
    with pytest.raises(PayloadError, match="did you mean 'papers'"):
        await run(ctx, ScriptedOcr(("", 0.0)))
    assert ctx.said == []
