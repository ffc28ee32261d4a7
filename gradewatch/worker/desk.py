"""Who reads and grades the papers of one job: the pipeline knows no more of them than this."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from gradewatch.model import PageText
from gradewatch.ports import Grader, Ocr
from gradewatch.worker.page import Page
from gradewatch.worker.rubric import Rubric

Aside = Callable[[], None]
"""Lets another paper begin while this one waits for long; may be called any number of times."""


@dataclass(frozen=True, slots=True)
class Graded:
    """One result per question, in the rubric's order, as grading.grade_text gives them; `source` says who gave them."""

    questions: Sequence[Mapping[str, Any]]
    source: str


class Desk(Protocol):
    """One job's. `batch` is how many pages it likes to be given at once."""

    batch: int

    async def read(self, path: Path, pages: Sequence[Page], aside: Aside) -> list[PageText]:
        """One text for each of these pages of the paper at `path`, in order. All have images. Raises PaperError."""
        ...

    async def grade(self, text: str, rubric: Rubric, confidence: float, aside: Aside) -> Graded:
        """Raises PaperError."""
        ...

    async def close(self) -> None:
        """The job is done with."""
        ...


class PlainDesk:
    """One reader and one grader, page by page: this machine's own."""

    batch = 1

    def __init__(self, ocr: Ocr, grader: Grader) -> None:
        self._ocr, self._grader = ocr, grader

    async def read(self, path: Path, pages: Sequence[Page], aside: Aside) -> list[PageText]:
        return await read_plainly(self._ocr, pages)

    async def grade(self, text: str, rubric: Rubric, confidence: float, aside: Aside) -> Graded:
        return Graded(await self._grader.grade(text, rubric, confidence), self._grader.name)

    async def close(self) -> None:
        return None


async def read_plainly(ocr: Ocr, pages: Sequence[Page]) -> list[PageText]:
    """One page after another. Raises PaperError."""
    read = []
    for page in pages:
        text, confidence = await ocr.read(page.image)
        read.append(PageText(text, confidence, ocr.name))
    return read
