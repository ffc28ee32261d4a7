"""The example exam: its thirty papers, read by the real OCR, get the marks a person gave them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pypdfium2 as pdfium
import pytest
from PIL import Image, ImageChops, ImageStat

from gradewatch.config import WorkerSettings
from gradewatch.worker.grading import RubricGrader
from gradewatch.worker.ocr import LocalOcr
from gradewatch.worker.pipeline import grade_paper
from gradewatch.worker.rubric import Rubric

EXAMPLES = Path(__file__).parents[2] / "examples"
EXAM = EXAMPLES / "exam"
MARKS: dict[str, dict[str, Any]] = json.loads((EXAM / "marks.json").read_text(encoding="utf-8"))["papers"]
LIMIT = 2_500_000  # bytes; the papers are part of the package


@pytest.fixture(scope="module")
def ocr() -> Iterator[LocalOcr]:
    pytest.importorskip("rapidocr", reason="the `ocr` extra is not installed: pip install 'gradewatch[ocr]'")
    engine = LocalOcr()
    yield engine
    engine.close()


@pytest.mark.parametrize("name", MARKS)
@pytest.mark.timeout(300)
async def test_each_paper_gets_the_marks_a_person_gave_it(name: str, ocr: LocalOcr) -> None:
    rubric = Rubric.parse((EXAM / "rubric.yaml").read_bytes())
    result = await grade_paper(
        EXAM / "papers" / name, name, 0, rubric, ocr=ocr, grader=RubricGrader(), settings=WorkerSettings()
    )
    got: dict[str, Any] = {"status": result.status, "marks": result.marks}
    if result.error:
        got["error"] = result.error.code
    else:
        got["questions"] = {question["question"]: question["marks"] for question in result.detail["questions"]}
    assert got == MARKS[name], result.detail


def test_the_exam_is_what_it_says() -> None:
    rubric = Rubric.parse((EXAM / "rubric.yaml").read_bytes())
    files = sorted((EXAM / "papers").iterdir())
    assert [file.name for file in files] == sorted(MARKS)
    assert len(MARKS) == 30
    assert rubric.marks == json.loads((EXAM / "marks.json").read_text(encoding="utf-8"))["max_marks"]
    assert {paper["status"] for paper in MARKS.values()} == {"graded", "needs_review", "failed"}
    assert sum(file.stat().st_size for file in files) < LIMIT


def test_the_script_makes_the_committed_papers(tmp_path: Path) -> None:
    script = [sys.executable, str(EXAMPLES / "make_exam.py"), "--out", str(tmp_path)]
    subprocess.run(script, check=True, timeout=120, capture_output=True)
    assert json.loads((tmp_path / "marks.json").read_text()) == json.loads((EXAM / "marks.json").read_text())
    assert sorted(file.name for file in (tmp_path / "papers").iterdir()) == sorted(MARKS)
    for name in MARKS:
        made, kept = tmp_path / "papers" / name, EXAM / "papers" / name
        if made.read_bytes() != kept.read_bytes() and MARKS[name]["status"] != "failed":  # other encoders
            assert difference(made, kept) < 4.0, name


def difference(one: Path, other: Path) -> float:
    """The mean difference of two papers' pixels, of 255."""
    first, second = picture(one), picture(other)
    assert first.size == second.size
    return ImageStat.Stat(ImageChops.difference(first, second)).mean[0]


def picture(path: Path) -> Image.Image:
    if path.suffix != ".pdf":
        with Image.open(path) as image:
            return image.convert("L")
    with pdfium.PdfDocument(path) as document:
        sheets = [page.render(scale=1, grayscale=True).to_pil().copy() for page in document]
    width, height = sheets[0].size
    tall = Image.new("L", (width, height * len(sheets)))
    for at, sheet in enumerate(sheets):
        tall.paste(sheet, (0, at * height))
    return tall


def test_a_difference_would_be_seen() -> None:
    names = [name for name in MARKS if name.endswith((".jpg", ".png"))]
    assert difference(EXAM / "papers" / names[0], EXAM / "papers" / names[-1]) > 4.0
