"""The folder beside the database where uploaded papers are kept, each once, under the SHA-256 of its bytes."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from gradewatch.errors import AccessDenied, PaperError, StoreUnavailable
from gradewatch.model import PaperRef

CHUNK = 1 << 20
SLOWEST = 5 * CHUNK  # bytes a second a disk must manage; a copy's deadline grows by its size over this
GRACE = 3600.0  # seconds in which a file may still be waiting for the job that will refer to it
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PART = "part-"


class PaperFolder:
    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, source: Path, name: str, timeout: float) -> PaperRef:
        """Copy a file in, however large, in bounded memory. Raises PaperError for a source that cannot be read."""
        try:
            with source.open("rb") as reading:
                return self._keep(reading, name, time.monotonic() + timeout)
        except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
            raise PaperError("paper_unreadable", f"{source} cannot be read: {error.strerror}.") from error

    def find(self, ref: PaperRef) -> Path:
        """Raises PaperError when the paper is not there."""
        with self.faults():
            path = self._path(ref.sha256) if _SHA256.fullmatch(ref.sha256) else None
            found = path is not None and path.is_file()
        if path is None or not found:
            raise PaperError(
                "paper_missing",
                f"The file of paper {ref.name!r} is not in {self.root}: submit it again, or restore the folder.",
            )
        return path

    def stale(self, now: float) -> Iterator[Path]:
        """Files older than GRACE, left-overs of broken uploads among them. `now` is in seconds since the epoch."""
        return (path for path in self.root.rglob("*") if path.is_file() and _age(path, now) > GRACE)

    def remove(self, paths: Sequence[Path], now: float) -> None:
        """Remove files, but for those that somebody has put again since they were found stale."""
        for path in paths:
            if _age(path, now) > GRACE:
                path.unlink(missing_ok=True)

    @contextmanager
    def faults(self) -> Iterator[None]:
        """The system's errors on this folder, as the project's own."""
        try:
            yield
        except PermissionError as error:
            raise AccessDenied(f"{self.root}: this user may not use it. Give it read and write permission.") from error
        except OSError as error:
            raise StoreUnavailable(f"{self.root}: the papers cannot be used: {error.strerror}.") from error

    def _path(self, sha256: str) -> Path:
        return self.root / sha256[:2] / sha256

    def _keep(self, reading: BinaryIO, name: str, deadline: float) -> PaperRef:
        deadline += os.fstat(reading.fileno()).st_size / SLOWEST
        with self.faults():
            self.root.mkdir(exist_ok=True)
            part = self.root / f"{_PART}{secrets.token_hex(8)}"
            try:
                with part.open("xb") as writing:
                    sha256, size = _copy(reading, writing, deadline)
                self._settle(part, self._path(sha256))
            finally:
                part.unlink(missing_ok=True)
            return PaperRef(name, sha256, size)

    def _settle(self, part: Path, final: Path) -> None:
        """Give the finished copy its name. A paper that is there already is replaced by the same bytes, made new."""
        final.parent.mkdir(exist_ok=True)
        part.replace(final)
        folder = os.open(final.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # or a power cut could take the name back
        finally:
            os.close(folder)


def is_part(path: Path) -> bool:
    """Is this an upload that was never finished?"""
    return path.name.startswith(_PART)


def _age(path: Path, now: float) -> float:
    """Seconds since the file was put; nothing for one that another process has just removed."""
    try:
        return now - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _copy(reading: BinaryIO, writing: BinaryIO, deadline: float) -> tuple[str, int]:
    """Returns the SHA-256 and the size of what was copied."""
    digest, size = hashlib.sha256(), 0
    while chunk := reading.read(CHUNK):
        if time.monotonic() > deadline:
            raise StoreUnavailable(
                "Copying a paper into the store took too long: the disk does not keep up. Try again."
            )
        digest.update(chunk)
        size += writing.write(chunk)
    writing.flush()
    os.fsync(writing.fileno())
    return digest.hexdigest(), size
