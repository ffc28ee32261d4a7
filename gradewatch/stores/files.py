"""Papers as files of this machine: on their way into a store, and for as long as one from a store is read."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

from gradewatch.errors import StoreUnavailable

_PREFIX = "gradewatch-paper-"
_OPEN_FILES = Path("/proc/self/fd")  # Linux: open files by their number, also those without a name


def digest_of(reading: BufferedReader) -> tuple[str, int]:
    """The SHA-256 and the size of a file, read in bounded memory."""
    digest = hashlib.file_digest(reading, "sha256")
    return digest.hexdigest(), reading.tell()


class Fetched:
    """A temporary file that is being written, and the SHA-256 of what was written so far."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    async def write(self, piece: bytes) -> None:
        """Raises StoreUnavailable where the disk takes no more: room may come back, and the paper is not to blame."""
        self._digest.update(piece)
        with _faults():
            await asyncio.to_thread(self._file.write, piece)


@asynccontextmanager
async def fetched(download: Callable[[Fetched], Awaitable[None]]) -> AsyncIterator[Path]:
    """A paper as a temporary file, written by `download`. It has no name where the system allows that: students' papers
    must not stay behind when a process is killed. The path is good until the context ends."""
    nameless = _OPEN_FILES.exists()
    with _faults():
        file: Any = (tempfile.TemporaryFile if nameless else tempfile.NamedTemporaryFile)(prefix=_PREFIX)
    with file:
        await download(Fetched(file))
        with _faults():
            await asyncio.to_thread(file.flush)
        yield Path(f"/proc/{os.getpid()}/fd/{file.fileno()}" if nameless else file.name)


@contextmanager
def _faults() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreUnavailable(f"{tempfile.gettempdir()} takes no more papers: {error.strerror}.") from error
