"""The one page of a PNG or JPEG, through Pillow."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from PIL import ExifTags, Image

from gradewatch.config import WorkerSettings
from gradewatch.errors import PaperError
from gradewatch.worker.page import LONGEST_SIDE, SHORTEST_SIDE, Page

# What Pillow's decoders raise on damaged files.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error, zlib.error)

# What makes an image upright, by its EXIF orientation (EXIF 2.3, tag 274).
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def scan_page(path: Path, settings: WorkerSettings) -> Page:
    """The image as a page, turned as its EXIF orientation says. Its size is checked before a pixel is decoded.

    Raises PaperError: paper_corrupt, image_too_small or image_too_large.
    """
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as image:
            _check_size(image.size, settings)
            image.draft("L", (LONGEST_SIDE, LONGEST_SIDE))  # a JPEG is decoded at the size wanted, not in full
            image.load()
            gray = _gray(image)
            gray.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.BOX)
            turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
            return Page(1, image=gray if turn is None else gray.transpose(turn))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as fault:
        raise _too_large("so many", settings) from fault
    except _DAMAGE as fault:
        message = f"the image is damaged or was uploaded in part ({str(fault)[:100]}); scan or photograph it again"
        raise PaperError("paper_corrupt", message) from fault


def _check_size(size: tuple[int, int], settings: WorkerSettings) -> None:
    width, height = size
    if min(size) < SHORTEST_SIDE:
        message = f"the image is {width:,} × {height:,} pixels, too small to hold text; scan it again"
        raise PaperError("image_too_small", message)
    if width * height > settings.max_image_pixels:
        raise _too_large(f"{width:,} × {height:,}", settings)


def _too_large(size: str, settings: WorkerSettings) -> PaperError:
    limit = f"at most {settings.max_image_pixels / 1e6:.0f} megapixels are read"
    return PaperError("image_too_large", f"the image has {size} pixels, and {limit}; scan it smaller")


def _gray(image: Image.Image) -> Image.Image:
    """Grayscale on white: transparent paper is white paper, and 16 bits are scaled, not clipped."""
    if image.mode.startswith("I"):
        return image.convert("I").point(lambda level: level / 256).convert("L")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("L")
    return image.convert("L")
