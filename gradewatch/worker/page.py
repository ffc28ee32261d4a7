"""One page of a paper, as the readers hand it to the pipeline."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

LONGEST_SIDE = 2000  # pixels; A4 at 170 dpi, beyond which OCR reads no better
SHORTEST_SIDE = 32  # pixels; nothing smaller can hold a line of text


@dataclass(frozen=True, slots=True)
class Page:
    """Its text layer where it has a usable one, else its image: grayscale, upright, at most LONGEST_SIDE."""

    number: int
    text: str | None = None
    image: Image.Image | None = None
