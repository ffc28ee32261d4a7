"""Some pages of a PDF as a PDF of their own: what Vision takes in one call, without sending the rest along."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pypdfium2 as pdfium

from gradewatch.worker.papers import on_reader


async def excerpt(path: Path, numbers: Sequence[int], most: int) -> bytes | None:
    """A PDF of the pages with these numbers (1 is the first); None where `path` is no PDF, or it would be longer than
    `most` bytes. PDFium cannot be used from two threads, so this queues with the reading of pages."""
    return await on_reader(_excerpt, path, numbers, most)


def _excerpt(path: Path, numbers: Sequence[int], most: int) -> bytes | None:
    with path.open("rb") as file:
        if b"%PDF-" not in file.read(1024):
            return None
    buffer = io.BytesIO()
    try:
        with closing(pdfium.PdfDocument(path)) as source, closing(pdfium.PdfDocument.new()) as some:
            if path.stat().st_size / len(source) * len(numbers) > most:
                return None  # told by the average: copying thirty megabytes only to drop them costs memory
            some.import_pages(source, [number - 1 for number in numbers])
            some.save(buffer)
    except pdfium.PdfiumError:
        return None  # it can be drawn and not copied: its pages go as images
    return buffer.getvalue() if buffer.tell() <= most else None
