"""Uploaded papers, kept in Supabase Storage; which object holds which paper is in the database."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from gradewatch.errors import PaperError, StoreUnavailable
from gradewatch.model import PaperRef
from gradewatch.stores.files import Fetched, digest_of, fetched
from gradewatch.stores.supabase.caller import Rest
from gradewatch.stores.supabase.storage import BUCKET, Bucket, Missing, TooLarge


class PaperBucket:
    """The port Papers, over Storage and the functions of 001_objects.sql."""

    _caller: Rest
    bucket: Bucket
    place: str

    async def put(self, path: Path, name: str) -> PaperRef:
        """Raises PaperError when the file cannot be read, changes while it is read, or is larger than Storage takes."""
        try:
            with path.open("rb") as reading:
                sha256, size = await asyncio.to_thread(digest_of, reading)
                if not await self._there(sha256):
                    await self._upload(reading, PaperRef(name, sha256, size))
        except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
            raise PaperError("paper_unreadable", f"{path} cannot be read: {error.strerror}.") from error
        return PaperRef(name, sha256, size)

    async def _there(self, sha256: str) -> bool:
        """Is the paper kept already? Storage is asked too: somebody may have emptied the bucket."""
        known = await self._caller.call("touch_object", sha=sha256)
        if known is None:
            return False
        if await self.bucket.exists(_object(sha256, known[0])):
            return True
        await self._caller.call("lose_object", of_upload=known[0])
        return False

    async def _upload(self, reading: BinaryIO, ref: PaperRef) -> None:
        """An upload that does not come to its end is removed later. What was sent is what was hashed: the file is read
        anew and compared."""
        upload = await self._caller.call("begin_object", sha=ref.sha256, length=ref.size)
        sent = _Hashing(reading)
        try:
            await self.bucket.upload(_object(ref.sha256, upload), sent, ref.size)
        except TooLarge:
            raise PaperError("paper_too_large", _too_large(ref)) from None
        if sent.digest.hexdigest() != ref.sha256:
            raise PaperError("paper_unreadable", f"Paper {ref.name!r} changed while it was read: submit it again.")
        if not await self._caller.call("end_object", of_upload=upload):
            raise StoreUnavailable(
                f"{self.place}: sending paper {ref.name!r} took longer than an hour, and it was given up.",
                fix="Check the network, and submit it again.",
            )

    @asynccontextmanager
    async def paper(self, ref: PaperRef) -> AsyncIterator[Path]:
        """The paper as a temporary file, checked against its SHA-256. Raises PaperError when it is not there."""
        found = await self._caller.call("find_object", sha=ref.sha256)
        if found is None:
            raise _missing(ref)
        upload, size = found
        async with fetched(lambda to: self._download(_object(ref.sha256, upload), size, ref, to)) as path:
            yield path

    async def _download(self, name: str, size: int, ref: PaperRef, to: Fetched) -> None:
        try:
            async with self.bucket.download(name, size) as pieces:
                async for piece in pieces:
                    await to.write(piece)
        except Missing:
            raise _missing(ref) from None
        if to.sha256 != ref.sha256:
            raise _missing(ref)

    async def _purge_files(self, most: int) -> int:
        """Objects whose paper no job refers to any more, and those of uploads that never came to their end."""
        stale = await self._caller.call("stale_objects", most=most)
        if not stale:
            return 0
        await self.bucket.remove([_object(sha256, upload) for upload, sha256 in stale])
        gone: int = await self._caller.call("forget_objects", uploads=[upload for upload, _ in stale])
        return gone


class _Hashing(BufferedReader):
    """The file, and the digest of what was read of it since its beginning."""

    def __init__(self, reading: BinaryIO) -> None:
        super().__init__(reading)  # type: ignore[arg-type]
        self.digest = hashlib.sha256()

    def seek(self, target: int, whence: int = 0, /) -> int:
        self.digest = hashlib.sha256()
        return super().seek(target, whence)

    def read(self, size: int | None = -1, /) -> bytes:
        piece = super().read(size)
        self.digest.update(piece)
        return piece


def _object(sha256: str, upload: int) -> str:
    return f"{sha256[:2]}/{sha256}-{upload}"


def _too_large(ref: PaperRef) -> str:
    return (
        f"paper {ref.name!r} has {ref.size / (1 << 20):.1f} MiB, more than Supabase Storage takes: scan it smaller, or "
        f"raise the limit in the dashboard, under Storage, for all files and for the bucket {BUCKET}"
    )


def _missing(ref: PaperRef) -> PaperError:
    return PaperError(
        "paper_missing",
        f"The file of paper {ref.name!r} is not in Supabase Storage: submit it again, or restore it.",
    )
