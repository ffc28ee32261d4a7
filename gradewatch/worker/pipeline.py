"""One paper: file, pages, text, marks. One job: its papers, each checkpointed as soon as it is known."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import structlog

from gradewatch.config import WorkerSettings
from gradewatch.errors import GradewatchError, PaperError
from gradewatch.model import JobError, PageText, PaperRef, PaperResult
from gradewatch.ports import Grader, Ocr
from gradewatch.worker.context import Handler, JobContext
from gradewatch.worker.desk import Aside, Desk, PlainDesk
from gradewatch.worker.page import Page
from gradewatch.worker.papers import open_paper
from gradewatch.worker.payload import GRADE, GradePayload, build_payload
from gradewatch.worker.room import Room
from gradewatch.worker.rubric import Rubric, total
from gradewatch.worker.seats import Seats

__all__ = ["GRADE", "GradePayload", "build_payload", "grade_paper", "make_desk_handler", "make_grade_handler"]

MAX_TEXT = 400_000  # characters of one paper
MAX_PAGES = 48  # page images in memory at once in one process: some 3 MB each
MAX_EXCERPT = 2_000  # characters of the paper's text kept with its marks

GRADED, NEEDS_REVIEW, FAILED = "graded", "needs_review", "failed"
TEXT_LAYER = "text layer"

log = structlog.get_logger(__name__)


@dataclass
class _Reading:
    """What has been read of a paper so far, by page."""

    texts: list[PageText] = field(default_factory=list)

    def set(self, at: int, text: PageText) -> None:
        while len(self.texts) <= at:
            self.texts.append(_UNREAD)
        self.texts[at] = text

    def finish(self) -> None:
        """Keep no more than MAX_TEXT characters in all."""
        left = MAX_TEXT
        for at, page in enumerate(self.texts):
            self.texts[at] = replace(page, text=page.text[:left])
            left -= len(self.texts[at].text)

    @property
    def text(self) -> str:
        return "\n".join(page.text for page in self.texts)

    @property
    def sources(self) -> list[str]:
        return list(dict.fromkeys(page.source for page in self.texts))

    @property
    def confidence(self) -> float:
        length = sum(len(page.text) for page in self.texts)
        return sum(page.confidence * len(page.text) for page in self.texts) / length if length else 0.0


_UNREAD = PageText("", 0.0)


async def grade_paper(
    path: Path, name: str, index: int, rubric: Rubric, *, ocr: Ocr, grader: Grader, settings: WorkerSettings
) -> PaperResult:
    """`grade_at` by one reader and one grader."""
    desk, room = PlainDesk(ocr, grader), Room(MAX_PAGES)
    return await grade_at(desk, room, path, name, index, rubric, settings, aside=lambda: None)


async def grade_at(
    desk: Desk, room: Room, path: Path, name: str, index: int, rubric: Rubric, settings: WorkerSettings, *, aside: Aside
) -> PaperResult:
    """Read and grade one file. Never raises for the paper's sake: an unreadable one comes back as "failed" with the
    error, a blank one as "needs_review" with no marks. Cancellable between pages."""
    try:
        reading = await _read(path, desk, room, settings, aside)
        graded = await desk.grade(reading.text, rubric, reading.confidence, aside)
        questions = [dict(result) for result in graded.questions]
    except PaperError as fault:
        return _failed(index, name, rubric, fault.code, str(fault))
    except GradewatchError:
        raise
    except Exception as fault:
        # A paper that breaks the reader must not take the marks of the job's other papers with it.
        log.exception("paper broke the grader", index=index, name=name)
        message = f"grading broke off ({type(fault).__name__}); the worker's log says where; grade this paper by hand"
        return _failed(index, name, rubric, "grader_broken", message)
    return _result(index, name, rubric, reading, questions, graded.source)


async def _read(path: Path, desk: Desk, room: Room, settings: WorkerSettings, aside: Aside) -> _Reading:
    """Batches of pages are read while the next ones are drawn, as far as there is room for them."""
    reading = _Reading()
    async with first_error(), asyncio.TaskGroup() as group, room.opening, open_paper(path, settings) as pages:
        at, more = 0, True
        while more:
            places = await room.take(desk.batch)
            try:
                batch, at, more = await _batch(pages, reading, at, places)
            except BaseException:
                room.give(places)
                raise
            room.give(places - len(batch))
            if batch:
                group.create_task(_read_batch(path, desk, room, reading, batch, aside))
    reading.finish()
    return reading


async def _batch(
    pages: AsyncIterator[Page], reading: _Reading, at: int, most: int
) -> tuple[dict[int, Page], int, bool]:
    """The next pages that must be read from their images, by place; where the next page stands; and whether there may
    be one. Text layers are taken at once."""
    batch: dict[int, Page] = {}
    while len(batch) < most:
        page = await anext(pages, None)
        if page is None:
            return batch, at, False
        if page.text is None:
            batch[at] = page
        else:
            reading.set(at, PageText(page.text, 1.0, TEXT_LAYER))
        at += 1
    return batch, at, True


async def _read_batch(
    path: Path, desk: Desk, room: Room, reading: _Reading, batch: Mapping[int, Page], aside: Aside
) -> None:
    try:
        texts = await desk.read(path, list(batch.values()), aside)
        for at, text in zip(batch, texts, strict=True):
            reading.set(at, text)
    finally:
        room.give(len(batch))


def _result(
    index: int, name: str, rubric: Rubric, reading: _Reading, questions: Sequence[Mapping[str, Any]], grader: str
) -> PaperResult:
    unsure = [str(question["question"]) for question in questions if question["needs_review"]]
    reason = f"look at {', '.join(unsure)}" if unsure else ""
    if not reading.text.strip():
        reason = "no text was found on the paper: it is blank, or too faint to be read"
    detail = {
        "questions": questions,
        "pages": len(reading.texts),
        "source": " + ".join(reading.sources),
        "graded_by": grader,
        "confidence": round(reading.confidence, 3),
        "text": reading.text[:MAX_EXCERPT],
        "reason": reason,
    }
    marks = total([question["marks"] for question in questions])
    return PaperResult(index, name, NEEDS_REVIEW if reason else GRADED, marks, rubric.marks, detail)


def _failed(index: int, name: str, rubric: Rubric, code: str, message: str) -> PaperResult:
    return PaperResult(index, name, FAILED, None, rubric.marks, {"reason": message}, JobError(code, message))


def make_grade_handler(ocr: Ocr, grader: Grader) -> Handler:
    """The handler of GRADE jobs by this machine alone. The papers go one after another: OCR, which takes nearly all the
    time, is one at a time anyway."""
    return make_desk_handler(lambda _: PlainDesk(ocr, grader), papers=1)


def make_desk_handler(desk_for: Callable[[JobContext], Desk], *, papers: int, pages: int = MAX_PAGES) -> Handler:
    """The handler of GRADE jobs. A bad paper never fails the job; papers that an earlier attempt has checkpointed are
    not graded again. At most `papers` are in work at once and `pages` in memory, over all jobs of this process, but for
    one paper at a time in each job where `papers` is 1. Papers that step aside to wait come on top of these.

    The handler raises PayloadError for a payload of the wrong shape, and Conflict when the claim is lost.
    """
    room = Room(pages)
    shared = Seats(papers)

    async def grade_job(ctx: JobContext) -> Mapping[str, Any]:
        seats = shared if papers > 1 else Seats(1)
        payload = GradePayload.parse(ctx.job.payload)
        count = len(payload.papers)
        results = {saved.index: saved for saved in await ctx.saved_papers() if 0 <= saved.index < count}
        await ctx.progress(len(results), count, f"{len(results)} of {count} papers graded")
        todo = iter([(index, ref) for index, ref in enumerate(payload.papers) if index not in results])
        desk = desk_for(ctx)

        async def work() -> None:
            for index, ref in todo:
                async with seats.take(another) as seat:
                    result = await _grade(ctx, desk, room, ref, index, payload.rubric, seat.leave)
                    await ctx.save_paper(result)
                    results[index] = result
                log.info("paper graded", job=ctx.job.id, index=index, name=ref.name, status=result.status)
                await ctx.progress(len(results), count, f"{len(results)} of {count} papers graded")
                if seat.left:
                    return  # another goes on with the next papers

        try:
            async with first_error(), asyncio.TaskGroup() as group:

                def another() -> None:
                    group.create_task(work())

                for _ in range(papers):
                    another()
        finally:
            await desk.close()
        return summary([results[index] for index in range(count)])

    return grade_job


async def _grade(
    ctx: JobContext, desk: Desk, room: Room, ref: PaperRef, index: int, rubric: Rubric, aside: Aside
) -> PaperResult:
    try:
        async with ctx.paper(ref) as path:
            return await grade_at(desk, room, path, ref.name, index, rubric, ctx.settings, aside=aside)
    except PaperError as fault:  # the file itself is not where it was put
        return _failed(index, ref.name, rubric, fault.code, str(fault))


@asynccontextmanager
async def first_error() -> AsyncIterator[None]:
    """What went wrong first in a group of tasks, as itself: those that follow are its consequence."""
    try:
        yield
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None


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
