"""Pages of a PDF through PDFium. Not thread-safe: papers.py calls all of this from one thread."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

import pypdfium2 as pdfium
import pypdfium2.raw as raw
from PIL import Image

from gradewatch.config import WorkerSettings
from gradewatch.errors import PaperError
from gradewatch.worker.page import LONGEST_SIDE, SHORTEST_SIDE, Page

DPI = 170
RENDER_SECONDS = 30.0  # for one page; a page of millions of strokes could otherwise hold every other paper up

ENOUGH_TEXT = 40  # letters and digits; less is a scanner's stamp, and the page is read as an image
MAX_PAGE_TEXT = 50_000  # characters
MOST_OF_PAGE = 0.5  # an image over more of the page than this is a scan; what text lies on it is not the student's


def pdf_pages(path: Path, settings: WorkerSettings) -> Iterator[Page]:
    """Raises PaperError: paper_corrupt, paper_encrypted, paper_empty, paper_too_many_pages, image_too_small,
    image_too_large or paper_too_complex."""
    # PDFium is given the open file: the path of a paper without a name (stores/files.py) cannot be resolved.
    with path.open("rb") as file, closing(_open(file)) as document:
        count = len(document)
        if count > settings.max_pages:
            message = f"the PDF has {count:,} pages, and at most {settings.max_pages:,} are read; split it by paper"
            raise PaperError("paper_too_many_pages", message)
        fillable = document.get_formtype() != raw.FORMTYPE_NONE
        if fillable:
            document.init_forms()  # else what was typed into its fields is not drawn
        for index in range(count):
            try:
                with closing(document[index]) as page:
                    read = _page(page, index + 1, fillable, settings)
            except pdfium.PdfiumError as fault:
                message = f"page {index + 1} of the PDF is damaged ({fault}); export or scan it again"
                raise PaperError("paper_corrupt", message) from fault
            yield read


def _open(file: BinaryIO) -> pdfium.PdfDocument:
    # PDFium keeps its last error over later calls, and sets none for a PDF of no pages: make it "no such file" first.
    raw.FPDF_LoadDocument(b"", None)
    try:
        return pdfium.PdfDocument(file)
    except pdfium.PdfiumError as fault:
        if fault.err_code == raw.FPDF_ERR_FILE:
            raise PaperError("paper_empty", "the PDF has no pages; export or scan it again") from fault
        if fault.err_code in (raw.FPDF_ERR_PASSWORD, raw.FPDF_ERR_SECURITY):
            raise PaperError("paper_encrypted", "the PDF asks for a password; save it without one") from fault
        message = "the PDF is damaged or was uploaded in part; export or scan it again"
        raise PaperError("paper_corrupt", message) from fault


def _page(page: pdfium.PdfPage, number: int, fillable: bool, settings: WorkerSettings) -> Page:
    scanned = _is_scan(page, number, settings)
    if not scanned and not fillable:
        with closing(page.get_textpage()) as layer:
            text = layer.get_text_range(0, min(layer.count_chars(), MAX_PAGE_TEXT)) if layer.count_chars() else ""
        if _is_readable(text):
            return Page(number, text=text.replace("\r\n", "\n").replace("\r", "\n"))
    return Page(number, image=_render(page, number))


def _is_scan(page: pdfium.PdfPage, number: int, settings: WorkerSettings) -> bool:
    """Whether one image covers most of the page. Refuses an image too large to be decoded, before it is."""
    area = page.get_width() * page.get_height()
    covered = 0.0
    for image in page.get_objects(filter=[raw.FPDF_PAGEOBJ_IMAGE], max_depth=3):
        width, height = image.get_px_size()
        if width * height > settings.max_image_pixels:
            limit = f"at most {settings.max_image_pixels / 1e6:.0f} megapixels are read"
            message = f"page {number} holds an image of {width:,} × {height:,} pixels, and {limit}; scan it smaller"
            raise PaperError("image_too_large", message)
        left, bottom, right, top = image.get_bounds()
        covered = max(covered, (right - left) * (top - bottom))
    return bool(covered > MOST_OF_PAGE * area)


def _is_readable(text: str) -> bool:
    """Enough letters, and not the garbage of a font without a character map."""
    useful = sum(letter.isalnum() for letter in text)
    garbage = sum(letter == "\ufffd" or "\ue000" <= letter <= "\uf8ff" for letter in text)
    return useful >= ENOUGH_TEXT and garbage < useful / 10


def _render(page: pdfium.PdfPage, number: int) -> Image.Image:
    """The page in gray at DPI, or less where its box is huge. Given up after RENDER_SECONDS."""
    width, height = page.get_size()
    scale = min(DPI / 72, LONGEST_SIDE / max(width, height, 1.0))
    width, height = math.ceil(width * scale), math.ceil(height * scale)
    if min(width, height) < SHORTEST_SIDE:
        message = f"page {number} is {width} × {height} pixels at {DPI} dpi, too small to hold text; scan it again"
        raise PaperError("image_too_small", message)
    with closing(pdfium.PdfBitmap.new_native(width, height, raw.FPDFBitmap_Gray)) as bitmap:
        bitmap.fill_rect((255, 255, 255, 255), 0, 0, width, height)
        place = (bitmap, page, 0, 0, width, height, 0, raw.FPDF_ANNOT | raw.FPDF_GRAYSCALE)
        deadline = time.monotonic() + RENDER_SECONDS
        pause = raw.IFSDK_PAUSE(version=1)
        pause.NeedToPauseNow = type(pause.NeedToPauseNow)(lambda _: int(time.monotonic() > deadline))
        status = raw.FPDF_RenderPageBitmap_Start(*place, pause)
        raw.FPDF_RenderPage_Close(page)
        if status == raw.FPDF_RENDER_TOBECONTINUED:
            message = f"page {number} could not be drawn within {RENDER_SECONDS:.0f} s; print it to a new PDF"
            raise PaperError("paper_too_complex", message)
        if status != raw.FPDF_RENDER_DONE:
            raise pdfium.PdfiumError("it cannot be drawn")
        if page.formenv:
            raw.FPDF_FFLDraw(page.formenv, *place)
        image: Image.Image = bitmap.to_pil()
        return image.copy()  # the original looks into PDFium's memory
