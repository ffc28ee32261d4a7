"""One paper: file, pages, text, marks. One job: paper after paper, each checkpointed as soon as it is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from gradewatch.config import WorkerSettings
from gradewatch.errors import GradewatchError, PaperError
from gradewatch.model import JobError, PaperRef, PaperResult
from gradewatch.ports import Grader, Ocr
from gradewatch.worker.context import Handler, JobContext
from gradewatch.worker.page import Page
from gradewatch.worker.papers import open_paper
from gradewatch.worker.payload import GRADE, GradePayload, build_payload
from gradewatch.worker.rubric import Rubric, total

__all__ = ["GRADE", "GradePayload", "build_payload", "grade_paper", "make_grade_handler"]

MAX_TEXT = 400_000  # characters of one paper
MAX_EXCERPT = 2_000  # characters of the paper's text kept with its marks

GRADED, NEEDS_REVIEW, FAILED = "graded", "needs_review", "failed"
TEXT_LAYER = "text layer"

log = structlog.get_logger(__name__)


@dataclass
class _Reading:
    """What has been read of a paper so far."""

    pages: int = 0
    texts: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    length: int = 0
    weighed: float = 0.0

    def add(self, text: str, confidence: float, source: str) -> None:
        text = text[: MAX_TEXT - self.length]
        self.pages += 1
        self.texts.append(text)
        self.length += len(text)
        self.weighed += confidence * len(text)
        if source not in self.sources:
            self.sources.append(source)

    @property
    def text(self) -> str:
        return "\n".join(self.texts)

    @property
    def confidence(self) -> float:
        return self.weighed / self.length if self.length else 0.0


async def grade_paper(
    path: Path, name: str, index: int, rubric: Rubric, *, ocr: Ocr, grader: Grader, settings: WorkerSettings
) -> PaperResult:
    """Read and grade one file. Never raises for the paper's sake: an unreadable one comes back as "failed" with the
    error, a blank one as "needs_review" with no marks. Cancellable between pages."""
    try:
        reading = await _read(path, ocr, settings)
        questions = [dict(result) for result in await grader.grade(reading.text, rubric, reading.confidence)]
    except PaperError as fault:
        return _failed(index, name, rubric, fault.code, str(fault))
    except GradewatchError:
        raise
    except Exception as fault:
        # A paper that breaks the reader must not take the marks of the job's other papers with it.
        log.exception("paper broke the grader", index=index, name=name)
        message = f"grading broke off ({type(fault).__name__}); the worker's log says where; grade this paper by hand"
        return _failed(index, name, rubric, "grader_broken", message)
    return _result(index, name, rubric, reading, questions)


async def _read(path: Path, ocr: Ocr, settings: WorkerSettings) -> _Reading:
    reading = _Reading()
    async with open_paper(path, settings) as pages:
        async for page in pages:
            reading.add(*await _page(page, ocr))
    return reading


async def _page(page: Page, ocr: Ocr) -> tuple[str, float, str]:
    if page.text is not None:
        return page.text, 1.0, TEXT_LAYER
    text, confidence = await ocr.read(page.image)
    return text, confidence, ocr.name


def _result(
    index: int, name: str, rubric: Rubric, reading: _Reading, questions: Sequence[Mapping[str, Any]]
) -> PaperResult:
    unsure = [str(question["question"]) for question in questions if question["needs_review"]]
    reason = f"look at {', '.join(unsure)}" if unsure else ""
    if not reading.text.strip():
        reason = "no text was found on the paper: it is blank, or too faint to be read"
    detail = {
        "questions": questions,
        "pages": reading.pages,
        "source": " + ".join(reading.sources),
        "confidence": round(reading.confidence, 3),
        "text": reading.text[:MAX_EXCERPT],
        "reason": reason,
    }
    marks = total([question["marks"] for question in questions])
    return PaperResult(index, name, NEEDS_REVIEW if reason else GRADED, marks, rubric.marks, detail)


def _failed(index: int, name: str, rubric: Rubric, code: str, message: str) -> PaperResult:
    return PaperResult(index, name, FAILED, None, rubric.marks, {"reason": message}, JobError(code, message))


def make_grade_handler(ocr: Ocr, grader: Grader) -> Handler:
    """The handler of GRADE jobs. A bad paper never fails the job; papers that an earlier attempt has checkpointed are
    not graded again. The papers go one after another: OCR, which takes nearly all the time, is one at a time anyway.

    The handler raises PayloadError for a payload of the wrong shape, and Conflict when the claim is lost.
    """

    async def grade_job(ctx: JobContext) -> Mapping[str, Any]:
        payload = GradePayload.parse(ctx.job.payload)
        count = len(payload.papers)
        results = {saved.index: saved for saved in await ctx.saved_papers() if 0 <= saved.index < count}
        await ctx.progress(len(results), count, f"{len(results)} of {count} papers graded")
        for index, ref in enumerate(payload.papers):
            if index in results:
                continue
            results[index] = result = await _grade(ctx, ref, index, payload.rubric, ocr, grader)
            await ctx.save_paper(result)
            log.info("paper graded", job=ctx.job.id, index=index, name=ref.name, status=result.status)
            await ctx.progress(len(results), count, f"{len(results)} of {count} papers graded")
        return summary([results[index] for index in range(count)])

    return grade_job


async def _grade(ctx: JobContext, ref: PaperRef, index: int, rubric: Rubric, ocr: Ocr, grader: Grader) -> PaperResult:
    try:
        async with ctx.paper(ref) as path:
            return await grade_paper(path, ref.name, index, rubric, ocr=ocr, grader=grader, settings=ctx.settings)
    except PaperError as fault:  # the file itself is not where it was put
        return _failed(index, ref.name, rubric, fault.code, str(fault))


def summary(results: Sequence[PaperResult]) -> dict[str, Any]:
    """A job's result. Papers of the same name are told apart as "name", "name (2)", …"""
    marks: dict[str, float | None] = {}
    for result in results:
        name, again = result.name, 2
        while name in marks:
            name, again = f"{result.name} ({again})", again + 1
        marks[name] = result.marks
    counts = {status: sum(result.status == status for result in results) for status in (GRADED, NEEDS_REVIEW, FAILED)}
    return {"papers": len(results), **counts, "marks": marks}
