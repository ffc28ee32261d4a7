"""Local OCR: lines in reading order, nothing from the network, one page at a time, a clear word where it is missing."""

from __future__ import annotations

import asyncio
import importlib.util
import math
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy
import pytest
from PIL import Image, ImageDraw, ImageFont

from gradewatch.errors import PaperError
from gradewatch.worker import ocr as ocr_module
from gradewatch.worker.ocr import LocalOcr, NoOcr, Piece, default_ocr, lines, mean_score

needs_ocr = pytest.mark.skipif(
    importlib.util.find_spec("rapidocr") is None,
    reason="the `ocr` extra is not installed: pip install 'gradewatch[ocr]'",
)


def picture(*texts: str, skew: float = 0.0) -> Image.Image:
    image = Image.new("L", (700, 80 + 50 * len(texts)), 240)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(26)
    for at, text in enumerate(texts):
        draw.text((40, 40 + 50 * at), text, fill=30, font=font)
    return image.rotate(skew, Image.Resampling.BICUBIC, fillcolor=240)


@pytest.fixture(scope="module")
def engine() -> Iterator[LocalOcr]:
    local = LocalOcr()
    yield local
    local.close()


@needs_ocr
async def test_reads_slanted_lines_in_order_without_the_network(
    engine: LocalOcr, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def no_network(*args: object, **kwargs: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    monkeypatch.setattr(socket.socket, "connect", no_network)
    page = picture("Q1. Name the gas", "Carbon dioxide, by limewater", "Q2. 3.0 x 2.5 = 7.5 N", skew=2.0)
    text, confidence = await engine.read(page)
    assert text.split("\n") == ["Q1. Name the gas", "Carbon dioxide, by limewater", "Q2. 3.0 x 2.5 = 7.5 N"]
    assert 0.9 < confidence <= 1.0
    assert capfd.readouterr() == ("", "")


@needs_ocr
async def test_a_blank_page_has_no_text_and_no_confidence(engine: LocalOcr) -> None:
    assert await engine.read(Image.new("L", (600, 800), 250)) == ("", 0.0)


@needs_ocr
def test_the_default_is_local_where_it_is_installed() -> None:
    assert default_ocr().name == "rapidocr"


@needs_ocr
def test_importing_the_module_loads_no_engine() -> None:
    code = "import sys, gradewatch.worker.pipeline, gradewatch.worker.ocr as o; o.default_ocr();"
    code += "print([name for name in ('rapidocr', 'onnxruntime', 'cv2', 'numpy') if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert shown.stdout.strip() == "[]"


async def test_without_the_extra_a_scan_is_refused_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    ocr = default_ocr()
    assert isinstance(ocr, NoOcr)
    with pytest.raises(PaperError, match=r"pip install 'gradewatch\[ocr\]'") as refused:
        await ocr.read(Image.new("L", (10, 10)))
    assert refused.value.code == "ocr_not_installed"


@needs_ocr
async def test_missing_models_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ocr_module, "_model", lambda models, part: models / "gone.onnx")
    with pytest.raises(PaperError) as refused:
        await LocalOcr().read(Image.new("L", (100, 100)))
    assert refused.value.code == "ocr_models_missing"


# ---------------------------------------------------------------- around the engine


class Engine:
    """Stands for rapidocr's, which is slow: reads nothing, and counts."""

    def __init__(self, output: Any = None, fault: Exception | None = None) -> None:
        self.output = output or SimpleNamespace(txts=None, boxes=None, scores=None)
        self.fault = fault
        self.calls = 0
        self.started = threading.Event()
        self.go = threading.Event()
        self.go.set()

    def __call__(self, image: Image.Image) -> Any:
        self.calls += 1
        self.started.set()
        assert self.go.wait(10)
        if self.fault:
            raise self.fault
        return self.output


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalOcr]:
    ocr = LocalOcr()
    yield ocr
    ocr.close()


async def test_a_failing_engine_fails_the_page(local: LocalOcr, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ocr_module, "_load", lambda threads: Engine(fault=RuntimeError("broken tensor")))
    with pytest.raises(PaperError) as refused:
        await local.read(Image.new("L", (40, 40)))
    assert refused.value.code == "ocr_failed"
    assert "broken tensor" not in str(refused.value)


async def test_cancelled_reads_do_not_pile_up(local: LocalOcr, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine()
    engine.go.clear()
    monkeypatch.setattr(ocr_module, "_load", lambda threads: engine)
    page = Image.new("L", (40, 40))
    reads = [asyncio.create_task(local.read(page)) for _ in range(50)]
    assert await asyncio.to_thread(engine.started.wait, 10)
    for read in reads:
        read.cancel()
    await asyncio.gather(*reads, return_exceptions=True)
    engine.go.set()
    assert await local.read(page) == ("", 0.0)
    assert engine.calls == 2  # the one that had begun, and the one after; 49 never ran


async def test_the_loop_goes_on_while_a_page_is_read(local: LocalOcr, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine()
    engine.go.clear()
    monkeypatch.setattr(ocr_module, "_load", lambda threads: engine)
    read = asyncio.create_task(local.read(Image.new("L", (40, 40))))
    assert await asyncio.to_thread(engine.started.wait, 10)
    assert not read.done()  # and yet this line runs
    engine.go.set()
    await read


async def test_what_the_engine_found_becomes_lines_and_a_mean(local: LocalOcr, monkeypatch: pytest.MonkeyPatch) -> None:
    def box(x: float, y: float, width: float) -> list[list[float]]:
        return [[x, y], [x + width, y], [x + width, y + 20], [x, y + 20]]

    output = SimpleNamespace(
        txts=("right", "left ", "below"),
        boxes=numpy.array([box(200, 11, 90), box(10, 9, 90), box(10, 60, 90)]),
        scores=(1.0, 0.5, 0.25),
    )
    monkeypatch.setattr(ocr_module, "_load", lambda threads: Engine(output))
    text, confidence = await local.read(Image.new("L", (40, 40)))
    assert text == "left right\nbelow"
    assert confidence == pytest.approx((5 * 1.0 + 4 * 0.5 + 5 * 0.25) / 14)


@pytest.mark.parametrize("degrees", [-5.0, 0.0, 5.0])
def test_lines_are_put_together_on_a_slanted_page(degrees: float) -> None:
    slant = math.radians(degrees)

    def piece(text: str, x: float, y: float) -> Piece:
        return Piece(
            text=text,
            score=1.0,
            x=x * math.cos(slant) - y * math.sin(slant),
            y=x * math.sin(slant) + y * math.cos(slant),
            height=20.0,
            width=200.0,
            slant=slant,
        )

    pieces = [piece("d", 900, 40), piece("b", 900, 0), piece("a", 100, 2), piece("c", 100, 40)]
    assert lines(pieces) == ["a b", "c d"]


def test_no_pieces_no_lines() -> None:
    assert lines([]) == []
    assert mean_score([]) == 0.0
