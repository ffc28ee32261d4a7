"""Reading page images on this machine with rapidocr: no network, no key, the models lie in its wheel."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from gradewatch.errors import PaperError
from gradewatch.ports import Ocr

THREADS = 2  # of onnxruntime; more gain little on a page, and take from the event loop and from other workers
DETECT_SIDE = 960  # pixels of the longest side in which lines of text are looked for; they are read at full size
BATCH = 2  # lines read at once


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of text on the page: its centre, height and slant (radians), in pixels of the image."""

    text: str
    score: float
    x: float
    y: float
    height: float
    width: float
    slant: float


class LocalOcr:
    """One engine on one thread of its own, loaded at the first page. A cancelled read that had not begun is dropped;
    one that had runs out, and the next waits for it, so that no more than one page is ever being read."""

    name = "rapidocr"

    def __init__(self, threads: int = THREADS) -> None:
        self._threads = max(1, min(threads, os.cpu_count() or 1))
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="gradewatch-ocr")
        self._engine: Any = None

    async def read(self, image: Image.Image) -> tuple[str, float]:
        """The page's lines in reading order, and the confidence (0..1) as their mean, weighted by length.

        A page without text gives ("", 0.0). Raises PaperError with the code `ocr_failed` or `ocr_models_missing`.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._reader, self._read, image)

    def close(self) -> None:
        """Drop what is queued, and the engine with its memory."""
        self._reader.shutdown(wait=True, cancel_futures=True)
        self._engine = None

    def _read(self, image: Image.Image) -> tuple[str, float]:
        if self._engine is None:
            self._engine = _load(self._threads)
        try:
            found = self._engine(image.convert("RGB"))
        except Exception as fault:
            message = f"reading the page failed ({type(fault).__name__}); if it fails again, look at the page yourself"
            raise PaperError("ocr_failed", message) from fault
        if not found.txts:
            return "", 0.0
        pieces = [_piece(*each) for each in zip(found.boxes.tolist(), found.txts, found.scores, strict=True)]
        return "\n".join(lines(pieces)), mean_score(pieces)


class NoOcr:
    """Stands in where the `ocr` extra is not installed: papers with a text layer are graded, scans are refused."""

    name = "none"

    async def read(self, image: Image.Image) -> tuple[str, float]:
        message = (
            "this page is an image, and no OCR is installed on this worker; "
            "run: pip install 'gradewatch[ocr]', then submit the paper again"
        )
        raise PaperError("ocr_not_installed", message)


def default_ocr() -> Ocr:
    """LocalOcr where its parts are installed, else NoOcr."""
    installed = all(importlib.util.find_spec(name) for name in ("rapidocr", "onnxruntime"))
    return LocalOcr() if installed else NoOcr()


def _load(threads: int) -> Any:
    """The engine over the models in the package. With their paths given, it looks for nothing on the network."""
    logging.getLogger("RapidOCR").setLevel(logging.CRITICAL)
    try:
        import rapidocr

        models = Path(rapidocr.__file__).parent / "models"
        params = {
            "Global.use_cls": False,
            "Global.log_level": "critical",
            "Global.text_score": 0.0,  # doubtful lines are kept: they lower the confidence instead of vanishing
            "Det.limit_type": "max",
            "Det.limit_side_len": DETECT_SIDE,
            "Det.model_path": str(_model(models, "det")),
            "Rec.rec_batch_num": BATCH,
            "Rec.model_path": str(_model(models, "rec")),
            "EngineConfig.onnxruntime.intra_op_num_threads": threads,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
        engine = rapidocr.RapidOCR(params=params)
        engine(_first_page())  # loads both models, which the engine puts off until it meets a line of text
        return engine
    except (ImportError, OSError) as fault:
        message = (
            f"the OCR of this worker is incomplete ({fault}); run: pip install --force-reinstall 'gradewatch[ocr]'"
        )
        raise PaperError("ocr_models_missing", message) from fault


def _first_page() -> Image.Image:
    page = Image.new("RGB", (320, 96), "white")
    ImageDraw.Draw(page).text((20, 24), "First page", fill="black", font=ImageFont.load_default(36))
    return page


def _model(models: Path, part: str) -> Path:
    found = sorted(models.glob(f"*_{part}_*.onnx"))
    if not found:
        raise FileNotFoundError(f"no {part} model in the rapidocr package")
    return found[-1]


def _piece(box: Sequence[Sequence[float]], text: str, score: float) -> Piece:
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = box
    return Piece(
        text=text.strip(),
        score=min(max(float(score), 0.0), 1.0),
        x=(x0 + x1 + x2 + x3) / 4,
        y=(y0 + y1 + y2 + y3) / 4,
        height=(math.hypot(x3 - x0, y3 - y0) + math.hypot(x2 - x1, y2 - y1)) / 2,
        width=math.hypot(x1 - x0, y1 - y0),
        slant=math.atan2(y1 - y0, x1 - x0),
    )


def mean_score(pieces: Sequence[Piece]) -> float:
    length = sum(len(piece.text) for piece in pieces)
    return sum(piece.score * len(piece.text) for piece in pieces) / length if length else 0.0


def lines(pieces: Sequence[Piece]) -> list[str]:
    """The pieces as lines in reading order, whatever the slant of the page: two pieces share a line when, with the
    page turned upright, their centres are less than half their height apart."""
    slant = _slant(pieces)
    placed = sorted((_turned(piece, slant) for piece in pieces if piece.text), key=lambda place: place[1])
    found: list[list[tuple[float, float, Piece]]] = []
    for place in placed:
        last = found[-1][-1] if found else None
        if last and place[1] - last[1] < min(place[2].height, last[2].height) / 2:
            found[-1].append(place)
        else:
            found.append([place])
    return [" ".join(piece.text for _, _, piece in sorted(line, key=lambda place: place[0])) for line in found]


def _slant(pieces: Sequence[Piece]) -> float:
    """The page's slant: the median of its long pieces', as short ones have none to speak of."""
    long = [piece.slant for piece in pieces if piece.width > 4 * piece.height]
    return median(long) if long else 0.0


def _turned(piece: Piece, slant: float) -> tuple[float, float, Piece]:
    return (
        piece.x * math.cos(slant) + piece.y * math.sin(slant),
        piece.y * math.cos(slant) - piece.x * math.sin(slant),
        piece,
    )
