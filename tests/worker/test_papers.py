"""Files to pages: every fault has its code, no file costs more memory than it may, and every handle is closed."""

from __future__ import annotations

import asyncio
import io
import os
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pypdfium2 as pdfium
import pypdfium2.raw as raw
import pytest
from PIL import ExifTags, Image, ImageDraw

from gradewatch.config import WorkerSettings
from gradewatch.errors import PaperError
from gradewatch.worker import pdf as pdf_module
from gradewatch.worker.page import LONGEST_SIDE, Page
from gradewatch.worker.papers import open_paper

LIMITS = WorkerSettings()
SENTENCE = "Q1. Photosynthesis makes glucose out of carbon dioxide, water and light."


async def read(path: Path, limits: WorkerSettings = LIMITS) -> list[Page]:
    async with open_paper(path, limits) as pages:
        return [page async for page in pages]


async def code_of(path: Path, limits: WorkerSettings = LIMITS) -> str:
    with pytest.raises(PaperError) as refused:
        await read(path, limits)
    assert len(str(refused.value)) > 20
    return refused.value.code


def plain_pdf(*sizes: tuple[float, float], body: str = "", more: str = "") -> bytes:
    """A PDF written by hand: one page per size (points), all showing `body`."""
    stream = body.encode()
    font = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
    kids = " ".join(f"{5 + at} 0 R" for at in range(len(sizes)))
    parts = [
        f"<< /Type /Catalog /Pages 2 0 R {more} >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(sizes)} >>",
        font,
        f"<< /Length {len(stream)} >>\nstream\n{body}\nendstream",
    ]
    resources = "/Resources << /Font << /F 3 0 R >> >> /Contents 4 0 R"
    parts += [f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {w} {h}] {resources} >>" for w, h in sizes]
    target, offsets = io.BytesIO(), []
    target.write(b"%PDF-1.4\n")
    for number, part in enumerate(parts, 1):
        offsets.append(target.tell())
        target.write(f"{number} 0 obj\n{part}\nendobj\n".encode())
    start = target.tell()
    target.write(f"xref\n0 {len(parts) + 1}\n0000000000 65535 f \n".encode())
    target.writelines(f"{offset:010} 00000 n \n".encode() for offset in offsets)
    target.write(f"trailer << /Size {len(parts) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n".encode())
    return target.getvalue()


def words(text: str) -> str:
    return f"BT /F 12 Tf 40 500 Td ({text}) Tj ET"


def scan_pdf(image: Image.Image) -> bytes:
    document = pdfium.PdfDocument.new()
    page = document.new_page(400, 600)
    shown = pdfium.PdfImage.new(document)
    shown.set_bitmap(pdfium.PdfBitmap.from_pil(image))
    shown.set_matrix(pdfium.PdfMatrix().scale(400, 600))
    page.insert_obj(shown)
    page.gen_content()
    target = io.BytesIO()
    document.save(target)
    document.close()
    return target.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds hardly any data: a decompression bomb."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    target = io.BytesIO()
    image.save(target, kind, **options)  # type: ignore[arg-type]
    return target.getvalue()


def half_black(width: int = 200, height: int = 100) -> Image.Image:
    """White, with its upper left quarter black: tells which way up it is."""
    image = Image.new("L", (width, height), "white")
    ImageDraw.Draw(image).rectangle((0, 0, width // 2, height // 2), fill="black")
    return image


# ---------------------------------------------------------------- PDFs


async def test_a_text_layer_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "named.wrongly"
    path.write_bytes(plain_pdf((400, 600), (400, 600), body=words(SENTENCE)))
    pages = await read(path)
    assert [page.number for page in pages] == [1, 2]
    assert all(page.text and page.text.strip() == SENTENCE and page.image is None for page in pages)


@pytest.mark.parametrize("body", ["", words("Scanned by App")])
async def test_a_page_with_too_little_text_is_drawn(tmp_path: Path, body: str) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(plain_pdf((400, 600), body=body))
    [page] = await read(path)
    assert page.text is None
    assert page.image is not None
    assert (page.image.mode, page.image.size) == ("L", (945, 1417))  # 170 dpi
    assert (page.image.getextrema()[0] == 255) == (body == "")


async def test_a_scan_under_a_hidden_text_is_drawn(tmp_path: Path) -> None:
    document = pdfium.PdfDocument(scan_pdf(half_black()))
    page = document[0]
    text = raw.FPDFPageObj_NewTextObj(document, b"Helvetica", 12.0)
    letters = (SENTENCE + "\0").encode("utf-16-le")
    raw.FPDFText_SetText(text, (raw.FPDF_WCHAR * (len(letters) // 2)).from_buffer_copy(letters))
    raw.FPDFPage_InsertObject(page, text)
    page.gen_content()
    path = tmp_path / "a.pdf"
    document.save(path)
    document.close()
    [read_page] = await read(path)
    assert read_page.image is not None
    assert read_page.image.getpixel((10, 10)) == 0


async def test_what_was_typed_into_a_form_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(plain_pdf((400, 600), body=words(SENTENCE), more="/AcroForm << /Fields [] >>"))
    [page] = await read(path)
    assert page.text is None  # a field's value is in no text layer


async def test_a_huge_page_is_scaled_down(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(plain_pdf((7200, 7200), (14_400, 400)))
    square, strip = [page.image for page in await read(path)]
    assert square is not None
    assert square.size == (LONGEST_SIDE, LONGEST_SIDE)
    assert strip is not None
    assert strip.width == LONGEST_SIDE


async def test_a_page_that_takes_too_long_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(plain_pdf((400, 600), body="0 0 m 9 9 l S " * 2000))
    assert (await read(path))[0].image is not None
    monkeypatch.setattr(pdf_module, "RENDER_SECONDS", -1.0)
    assert await code_of(path) == "paper_too_complex"


def encrypted_pdf() -> bytes:
    """Encrypted with a user password that is not empty (its check values are wrong for every password we try)."""
    secret = "<" + "ab" * 32 + ">"
    body = plain_pdf((400, 600), body=words(SENTENCE))
    trailer = f"/Encrypt << /Filter /Standard /V 1 /R 2 /O {secret} /U {secret} /P -4 >> /ID [<00> <00>] /Root".encode()
    return body.replace(b"/Root", trailer)


def bomb_pdf() -> bytes:
    """A page with an image that claims 20,000 × 20,000 pixels."""
    image = "<< /Type /XObject /Subtype /Image /Width 20000 /Height 20000 /ColorSpace /DeviceGray /BitsPerComponent 8"
    made = plain_pdf((400, 600), body="q 400 0 0 600 0 0 cm /I Do Q")
    made = made.replace(
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>", f"{image} /Length 0 >>\nstream\n\nendstream".encode()
    )
    return made.replace(b"/Font << /F 3 0 R >>", b"/XObject << /I 3 0 R >>")


BAD_PDFS: dict[str, tuple[Callable[[], bytes], str]] = {
    "cut short": (lambda: plain_pdf((400, 600), body=words(SENTENCE))[:200], "paper_corrupt"),
    "garbage": (lambda: b"%PDF-1.7\n" + os.urandom(5000), "paper_corrupt"),
    "header only": (lambda: b"%PDF-", "paper_corrupt"),
    "encrypted": (encrypted_pdf, "paper_encrypted"),
    "no pages": (plain_pdf, "paper_empty"),
    "500 pages": (lambda: plain_pdf(*[(400, 600)] * 500), "paper_too_many_pages"),
    "tiny page": (lambda: plain_pdf((5, 5)), "image_too_small"),
    "image bomb": (bomb_pdf, "image_too_large"),
}


@pytest.mark.parametrize(("make", "code"), BAD_PDFS.values(), ids=BAD_PDFS.keys())
async def test_bad_pdfs(tmp_path: Path, make: Callable[[], bytes], code: str) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(encrypted_pdf())
    assert await code_of(path) == "paper_encrypted"  # PDFium's last error must not stick to the next file
    path.write_bytes(make())
    assert await code_of(path) == code


async def test_a_damaged_page_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(
        plain_pdf((400, 600), (400, 600)).replace(b"6 0 obj\n<< /Type /Page ", b"6 0 obj\n[[ /Type /Page ")
    )
    with pytest.raises(PaperError, match="page 2 of the PDF is damaged") as refused:
        await read(path)
    assert refused.value.code == "paper_corrupt"


# ---------------------------------------------------------------- images


PNG_MODES = ("1", "L", "RGB", "P", "LA", "RGBA", "I;16")
JPEG_MODES = ("1", "L", "RGB", "CMYK")
MODES = [("PNG", mode) for mode in PNG_MODES] + [("JPEG", mode) for mode in JPEG_MODES]


@pytest.mark.parametrize(("kind", "mode"), MODES)
async def test_images_become_gray_pages(tmp_path: Path, kind: str, mode: str) -> None:
    image = half_black()
    image = (
        image.convert("I").point(lambda level: level * 257).convert("I;16") if mode == "I;16" else image.convert(mode)
    )
    path = tmp_path / "a.bin"
    path.write_bytes(encoded(image, kind))
    [page] = await read(path)
    assert page.image is not None
    assert page.image.mode == "L"
    assert page.image.getpixel((20, 20)) < 40  # type: ignore[operator]
    assert page.image.getpixel((180, 80)) > 215  # type: ignore[operator]


async def test_transparent_paper_is_white(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded(Image.new("RGBA", (100, 100), (0, 0, 0, 0)), "PNG"))
    [page] = await read(path)
    assert page.image is not None
    assert page.image.getextrema() == (255, 255)


@pytest.mark.parametrize("orientation", range(1, 9))
async def test_a_photo_is_turned_as_its_exif_says(tmp_path: Path, orientation: int) -> None:
    stored = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    image = half_black() if stored is None else half_black().transpose(stored)
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(image, "JPEG", exif=exif))
    [page] = await read(path)
    assert page.image is not None
    assert page.image.size == (200, 100)
    assert page.image.getpixel((20, 20)) < 40  # type: ignore[operator]


async def test_a_large_photo_is_scaled_down(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(half_black(5000, 3000), "JPEG"))
    [page] = await read(path)
    assert page.image is not None
    assert page.image.size == (2000, 1200)


BAD_FILES: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (bytes, "paper_empty"),
    "1x1": (lambda: encoded(Image.new("L", (1, 1)), "PNG"), "image_too_small"),
    "20,000 px": (lambda: png_header(20_000, 20_000), "image_too_large"),
    "10,000 px": (lambda: png_header(10_000, 10_000), "image_too_large"),
    "truncated PNG": (lambda: encoded(half_black(), "PNG")[:-60], "paper_corrupt"),
    "truncated JPEG": (lambda: encoded(half_black(900, 900), "JPEG")[:1500], "paper_corrupt"),
    "PNG signature only": (lambda: b"\x89PNG\r\n\x1a\n", "paper_corrupt"),
    "PNG of garbage": (lambda: b"\x89PNG\r\n\x1a\n" + os.urandom(3000), "paper_corrupt"),
    "text": (lambda: b"just some text", "paper_type_unknown"),
    "docx": (lambda: b"PK\x03\x04" + bytes(100), "paper_type_unknown"),
    "gif": (lambda: encoded(half_black(), "GIF"), "paper_type_unknown"),
}


@pytest.mark.parametrize(("make", "code"), BAD_FILES.values(), ids=BAD_FILES.keys())
async def test_bad_files(tmp_path: Path, make: Callable[[], bytes], code: str) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(make())
    assert await code_of(path) == code


async def test_a_missing_file_and_one_that_is_too_long(tmp_path: Path) -> None:
    assert await code_of(tmp_path / "gone.pdf") == "paper_missing"
    path = tmp_path / "a.pdf"
    path.write_bytes(plain_pdf((400, 600)))
    assert await code_of(path, replace(LIMITS, max_paper_bytes=100)) == "paper_too_large"
    os.truncate(path, 100_000_000)  # a sparse file: 100 MB long without filling the disk
    assert await code_of(path) == "paper_too_large"


# ---------------------------------------------------------------- handles, threads, memory


def open_files() -> list[str]:
    return [file.path for file in psutil.Process().open_files()]


async def test_handles_are_closed_however_reading_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(plain_pdf(*[(400, 600)] * 3))
    await read(path)
    assert str(path) not in open_files()
    async with open_paper(path, LIMITS) as pages:
        await anext(aiter(pages))
        assert str(path) in open_files()
    assert str(path) not in open_files()
    path.write_bytes(plain_pdf(*[(400, 600)] * 3)[:300])
    await code_of(path)
    assert str(path) not in open_files()


async def test_a_cancelled_reader_closes_its_file_and_leaves_the_others_going(tmp_path: Path) -> None:
    path, other = tmp_path / "a.pdf", tmp_path / "b.pdf"
    path.write_bytes(plain_pdf(*[(400, 600)] * 200))
    other.write_bytes(plain_pdf((400, 600), body=words(SENTENCE)))
    begun = asyncio.Event()

    async def go_on() -> None:
        async with open_paper(path, LIMITS) as pages:
            async for _ in pages:
                begun.set()

    reading = asyncio.create_task(go_on())
    await begun.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert len(await read(other)) == 1  # behind the closing of the first, on the same thread
    assert str(path) not in open_files()


async def test_many_readers_share_one_thread(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(plain_pdf(*[(400, 600)] * 2, body=words(SENTENCE)))
    results = await asyncio.gather(*(read(path) for _ in range(20)))
    assert {len(pages) for pages in results} == {2}
    assert sum(thread.name.startswith("gradewatch-papers") for thread in threading.enumerate()) == 1


PEAK = """
import asyncio, resource, sys
from pathlib import Path
from gradewatch.config import WorkerSettings
from gradewatch.errors import PaperError
from gradewatch.worker.papers import open_paper

async def read():
    limits = WorkerSettings(max_pages=1000, max_paper_bytes=10**9)
    pixels = 0
    async with open_paper(Path(sys.argv[1]), limits) as pages:
        async for page in pages:
            pixels += page.image.width
    return pixels

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
asyncio.run(read())
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize(
    "make",
    [
        lambda: plain_pdf(*[(400, 600)] * 60),
        lambda: plain_pdf((7200, 7200)),
        lambda: plain_pdf((400, 600)).replace(b"%PDF-1.4\n", b"%PDF-1.4\n", 1) + b"%" + bytes(100_000_000),
    ],
    ids=["60 pages", "100 inches", "100 MB"],
)
def test_memory_stays_bounded(tmp_path: Path, make: Callable[[], bytes]) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(make())
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(path)], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 80  # MB; one page of 2,000 × 2,000 gray pixels is 4
