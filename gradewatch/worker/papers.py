"""From a paper's file to its pages, one at a time, however hostile the file.

PDFium is not safe to use from two threads at once, so every file is opened, read and closed on one thread of its own.
Only one page is ever in memory, scaled to what OCR can use.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from gradewatch.config import WorkerSettings
from gradewatch.errors import PaperError
from gradewatch.worker.page import Page
from gradewatch.worker.pdf import pdf_pages
from gradewatch.worker.scan import scan_page

_READER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="gradewatch-papers")

# What people upload by mistake, by the first bytes of the file: (offset, bytes, what it is).
_STRANGERS = (
    (0, b"PK\x03\x04", "a ZIP archive or an Office document (docx, xlsx, odt)"),
    (0, b"\xd0\xcf\x11\xe0", "an old Office document (doc, xls)"),
    (4, b"ftyphei", "a HEIC photo"),
    (4, b"ftypmif1", "a HEIC photo"),
    (8, b"WEBP", "a WebP image"),
    (0, b"GIF8", "a GIF image"),
    (0, b"II*\x00", "a TIFF image"),
    (0, b"MM\x00*", "a TIFF image"),
    (0, b"BM", "a BMP image"),
    (0, b"{\\rtf", "an RTF document"),
)


T = TypeVar("T")


async def on_reader(work: Callable[..., T], *args: object) -> T:
    """Run what uses PDFium on the one thread that may."""
    return await asyncio.get_running_loop().run_in_executor(_READER, work, *args)


@asynccontextmanager
async def open_paper(path: Path, settings: WorkerSettings) -> AsyncIterator[AsyncIterator[Page]]:
    """The pages of a PDF, PNG or JPEG file, told by its content, not its name.

    Raises PaperError, here or at a page, with the code `paper_missing`, `paper_empty`, `paper_too_large`,
    `paper_type_unknown`, `paper_corrupt`, `paper_encrypted`, `paper_too_many_pages`, `image_too_small` or
    `image_too_large`. The file is closed when the context ends, also by a cancellation in the middle of a page.
    """
    loop = asyncio.get_running_loop()
    reading = _pages(path, settings)

    async def pages() -> AsyncIterator[Page]:
        while (page := await loop.run_in_executor(_READER, next, reading, None)) is not None:
            yield page

    try:
        yield pages()
    finally:
        # Queued behind a page that is still being read, on the same thread: never closed under its reader.
        closed = loop.run_in_executor(_READER, reading.close)
    await closed


def _pages(path: Path, settings: WorkerSettings) -> Generator[Page]:
    try:
        size = path.stat().st_size
        if size == 0:
            raise PaperError("paper_empty", "the file is empty; upload it again")
        if size > settings.max_paper_bytes:
            limit = settings.max_paper_bytes
            message = (
                f"the file is {size / 1e6:.1f} MB long, and at most {limit / 1e6:.1f} MB are read; scan it smaller"
            )
            raise PaperError("paper_too_large", message)
        with path.open("rb") as file:
            head = file.read(1024)
    except OSError as fault:
        raise PaperError("paper_missing", f"the file cannot be opened: {fault.strerror}") from fault
    if b"%PDF-" in head:
        yield from pdf_pages(path, settings)
    elif head.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")):
        yield scan_page(path, settings)
    else:
        raise PaperError("paper_type_unknown", f"{_stranger(head)}; only PDF, PNG and JPEG are read: save it as a PDF")


def _stranger(head: bytes) -> str:
    for offset, start, name in _STRANGERS:
        if head[offset:].startswith(start):
            return f"this is {name}"
    return "this is text" if head.isascii() and b"\0" not in head else "this is no known kind of file"
