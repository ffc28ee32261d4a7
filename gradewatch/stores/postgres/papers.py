"""Uploaded papers, kept in the database so that workers on any host can read them; a piece at a time."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO

from gradewatch.errors import PaperError
from gradewatch.model import PaperRef
from gradewatch.stores.files import Fetched, digest_of, fetched
from gradewatch.stores.postgres.caller import Caller

PIECE = 1 << 19  # bytes sent or fetched in one call


class PaperTable:
    """The port Papers, over the functions of 008_paper_files.sql."""

    _caller: Caller

    async def put(self, path: Path, name: str) -> PaperRef:
        """Raises PaperError when the file cannot be read, or changes while it is read."""
        try:
            with path.open("rb") as reading:
                sha256, size = await asyncio.to_thread(digest_of, reading)
                if not await self._caller.call("touch_file", sha=sha256):
                    reading.seek(0)
                    await self._upload(reading, sha256, size, name)
        except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
            raise PaperError("paper_unreadable", f"{path} cannot be read: {error.strerror}.") from error
        return PaperRef(name, sha256, size)

    async def _upload(self, reading: BinaryIO, sha256: str, size: int, name: str) -> None:
        """Pieces of an upload that does not come to its end are purged later."""
        upload = await self._caller.call("begin_upload")
        digest, place = hashlib.sha256(), 0
        while piece := await asyncio.to_thread(reading.read, PIECE):
            digest.update(piece)
            await self._caller.call("put_piece", of_upload=upload, at_place=place, content=piece)
            place += 1
        if digest.hexdigest() != sha256:
            raise PaperError("paper_unreadable", f"Paper {name!r} changed while it was read: submit it again.")
        await self._caller.call("end_upload", of_upload=upload, sha=sha256, length=size)

    @asynccontextmanager
    async def paper(self, ref: PaperRef) -> AsyncIterator[Path]:
        """The paper as a temporary file, checked against its SHA-256. Raises PaperError when it is not there."""
        found = await self._caller.call("find_file", sha=ref.sha256)
        if found is None:
            raise _missing(ref)
        _, upload = found
        async with fetched(lambda to: self._download(upload, ref, to)) as path:
            yield path

    async def _download(self, upload: int, ref: PaperRef, to: Fetched) -> None:
        place = 0
        while (piece := await self._caller.call("get_piece", of_upload=upload, at_place=place)) is not None:
            await to.write(piece)
            place += 1
        if to.sha256 != ref.sha256:
            raise _missing(ref)


def _missing(ref: PaperRef) -> PaperError:
    return PaperError(
        "paper_missing", f"The file of paper {ref.name!r} is not in the database: submit it again, or restore it."
    )
