"""Makes the thirty papers of the example exam: python examples/make_exam.py [--out DIRECTORY]

Needs only Pillow and pypdfium2, draws with the font that Pillow carries, and draws the same papers every time.
"""

from __future__ import annotations

import argparse
import ctypes
import io
import json
import random
import re
import textwrap
from pathlib import Path

import pypdfium2 as pdfium
import pypdfium2.raw as raw
from exam_answers import ANSWERS, QUESTIONS, SHEETS, TITLE, Sheet
from PIL import ExifTags, Image, ImageChops, ImageDraw, ImageFilter, ImageFont

SCAN = (880, 1040)  # pixels: an A5 sheet at about 150 dpi
MARGIN, LINE, FONT_SIZE, COLUMNS = 60, 31, 21, 64
PAPER, INK = 243, 45
A5 = (420.0, 595.0)  # points
NEW_PAGE = "\f"


def sheet_lines(sheet: Sheet, number: int) -> list[str]:
    """What stands on the paper, printed and written, line by line."""
    lines = ["RIVERSIDE SCHOOL", TITLE, f"Name: {sheet.student}    Candidate: {number:03}", ""]
    for at, (question, (marks, prompt)) in enumerate(QUESTIONS.items()):
        if sheet.letters[at] == ".":
            continue
        if sheet.kind == "mixed" and at == 3:
            lines.append(NEW_PAGE)
        heading = sheet.heading.format(question[1:])
        lines += textwrap.wrap(f"{heading} {prompt} [{marks} marks]", COLUMNS)
        for line in ANSWERS[question][sheet.letters[at]][1].split("\n"):
            lines += textwrap.wrap(line, COLUMNS) or [""]
        lines.append("")
    return lines


def scan(lines: list[str], skew: float, seed: int) -> Image.Image:
    """A sheet as a worn flatbed gives it: gray paper, a slant, a little blur, grain."""
    sheet = Image.new("L", SCAN, PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(FONT_SIZE)
    for at, line in enumerate(lines):
        draw.text((MARGIN, MARGIN + at * LINE), line, fill=INK, font=font)
    sheet = sheet.rotate(skew, Image.Resampling.BICUBIC, fillcolor=PAPER)
    sheet = sheet.filter(ImageFilter.GaussianBlur(0.6))
    width, height = SCAN
    grain = Image.frombytes("L", SCAN, random.Random(seed).randbytes(width * height))
    return ImageChops.add(sheet, grain.point([level * 36 // 255 for level in range(256)]), offset=-18)


def jpeg(image: Image.Image, turned: bool = False) -> bytes:
    """`turned`: as a phone held sideways stores it, with the note that says how to hold it upright."""
    exif = Image.Exif()
    if turned:
        image = image.transpose(Image.Transpose.ROTATE_90)
        exif[ExifTags.Base.Orientation] = 6
    target = io.BytesIO()
    image.save(target, "JPEG", quality=38, exif=exif)
    return target.getvalue()


def png(image: Image.Image, seed: int) -> bytes:
    """Four shades of gray, as office scanners store text, with specks of dust."""
    width, height = image.size
    dust = Image.frombytes("L", image.size, random.Random(-seed).randbytes(width * height))
    image = ImageChops.darker(image, dust.point([0] + [255] * 255))
    target = io.BytesIO()
    image.point([level // 64 * 85 for level in range(256)]).quantize(4).save(target, "PNG", optimize=True, bits=2)
    return target.getvalue()


def pdf(pages: list[list[str] | bytes]) -> bytes:
    """A PDF of pages that are lines of text (a text layer) or the bytes of a JPEG (a scan)."""
    document = pdfium.PdfDocument.new()
    for content in pages:
        page = document.new_page(*A5)
        if isinstance(content, bytes):
            image = pdfium.PdfImage.new(document)
            image.load_jpeg(io.BytesIO(content), inline=True)
            image.set_matrix(pdfium.PdfMatrix().scale(*A5))
            page.insert_obj(image)
        else:
            add_text(document, page, content)
        page.gen_content()
        page.close()
    target = io.BytesIO()
    document.save(target)
    document.close()
    # PDFium writes today's date and a fresh id; fixed ones of the same length keep every offset right.
    dated = re.sub(rb"D:\d{14}", b"D:20260105080000", target.getvalue())
    return re.sub(rb"<[0-9A-F]{32}>", b"<" + b"0" * 32 + b">", dated)


def add_text(document: pdfium.PdfDocument, page: pdfium.PdfPage, lines: list[str]) -> None:
    for at, line in enumerate(lines):
        if not line:
            continue
        text = raw.FPDFPageObj_NewTextObj(document, b"Helvetica", 11.0)
        letters = (line + "\0").encode("utf-16-le")
        raw.FPDFText_SetText(text, ctypes.cast(ctypes.create_string_buffer(letters), raw.FPDF_WIDESTRING))
        raw.FPDFPageObj_Transform(text, 1, 0, 0, 1, 30, A5[1] - 45 - at * 15)
        raw.FPDFPage_InsertObject(page, text)


def paper(sheet: Sheet, number: int) -> tuple[str, bytes]:
    """The file's suffix and its bytes."""
    lines = sheet_lines(sheet, number)
    if sheet.kind == "text":
        return "pdf", pdf([lines])
    if sheet.kind == "mixed":
        cut = lines.index(NEW_PAGE)
        return "pdf", pdf([lines[:cut], jpeg(scan(lines[cut + 1 :], 0.9, number))])
    if sheet.kind == "broken":
        return "pdf", pdf([lines])[:600]
    image = scan([] if sheet.kind == "blank" else lines, sheet.skew, number)
    if sheet.kind == "scan-pdf":
        return "pdf", pdf([jpeg(image)])
    if sheet.kind in ("png", "blank"):
        return "png", png(image, number)
    return "jpg", jpeg(image, turned=sheet.kind == "photo")


def expected(sheet: Sheet) -> dict[str, object]:
    """The marks and the status that the paper must get."""
    if sheet.kind == "broken":
        return {"status": "failed", "marks": None, "error": "paper_corrupt"}
    given = zip(QUESTIONS, sheet.letters, strict=True)
    questions = {question: ANSWERS[question].get(letter, (0, ""))[0] for question, letter in given}
    status = "needs_review" if sheet.review else "graded"
    return {"status": status, "marks": sum(questions.values()), "questions": questions}


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the papers of the example exam.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "exam", help="where papers/ is made")
    out: Path = parser.parse_args().out
    (out / "papers").mkdir(parents=True, exist_ok=True)
    marks: dict[str, object] = {}
    for number, sheet in enumerate(SHEETS, 1):
        suffix, content = paper(sheet, number)
        name = f"{number:02}-{sheet.student.lower().replace(' ', '-')}.{suffix}"
        (out / "papers" / name).write_bytes(content)
        marks[name] = expected(sheet)
    best = sum(marks for marks, _ in QUESTIONS.values())
    text = json.dumps({"max_marks": best, "papers": marks}, indent=2)
    (out / "marks.json").write_text(text + "\n", encoding="utf-8")
    print(f"{len(marks)} papers in {out / 'papers'}")


if __name__ == "__main__":
    main()
