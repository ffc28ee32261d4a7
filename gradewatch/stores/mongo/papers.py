"""Uploaded papers, each once, under the SHA-256 of its bytes, in GridFS: workers on any host can read them.

Reading and deleting are the driver's. Writing is done here, in GridFS's layout, because the driver's own upload keeps
48 MB of a file in memory before it sends any.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from bson import Binary
from gridfs.errors import CorruptGridFile, NoFile

from gradewatch.errors import PaperError
from gradewatch.model import PaperRef
from gradewatch.stores.files import Fetched, digest_of, fetched
from gradewatch.stores.mongo.database import PREFIX, Database
from gradewatch.stores.mongo.either import bucket, listed, settle
from gradewatch.stores.mongo.encode import Document, said, text
from gradewatch.stores.mongo.submit import make_ids

PIECE = 1 << 19  # bytes of one chunk
GRACE = 3600 * 1_000_000  # microseconds in which a file may still be waiting for the job that will refer to it
LOOKED_AT = 500  # files looked at in one call of a purge


class PaperBucket:
    """The port Papers."""

    _data: Database

    def _bucket(self) -> Any:
        return bucket(self._data.handle, f"{PREFIX}files", PIECE)

    async def put(self, path: Path, name: str) -> PaperRef:
        """Raises PaperError when the file cannot be read, or changes while it is read."""
        try:
            with path.open("rb") as reading:
                sha256, size = await asyncio.to_thread(digest_of, reading)
                async with self._data.call():
                    known = await _touch(self._data, sha256)
                if not known:
                    reading.seek(0)
                    await self._upload(reading, sha256, size, name)
        except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
            raise PaperError("paper_unreadable", f"{path} cannot be read: {error.strerror}.") from error
        return PaperRef(name, sha256, size)

    async def _upload(self, reading: BinaryIO, sha256: str, size: int, name: str) -> None:
        """Each piece has a deadline of its own. An upload that does not come to its end is purged later."""
        data, digest, place = self._data, hashlib.sha256(), 0
        async with data.call():
            now, first = await data.tick("jobs", 1)
            [file_id] = make_ids(now, first, 1)
            await data.uploads.insert_one({"_id": file_id, "at": now})
        while piece := await asyncio.to_thread(reading.read, PIECE):
            digest.update(piece)
            async with data.call():
                chunk = {"files_id": file_id, "n": place, "data": Binary(piece)}
                await data.quick("files.chunks").insert_one(chunk)
            place += 1
        if digest.hexdigest() != sha256:
            raise PaperError("paper_unreadable", f"Paper {name!r} changed while it was read: submit it again.")
        async with data.call():
            await _finish_upload(data, file_id, sha256, size, said(name))

    @asynccontextmanager
    async def paper(self, ref: PaperRef) -> AsyncIterator[Path]:
        """The paper as a temporary file, checked against its SHA-256. Raises PaperError when it is not there."""
        async with self._data.call():
            query = {"metadata.sha256": text(ref.sha256)}
            found = await self._data.collection("files.files").find_one(query, {"_id": 1}, sort=[("_id", 1)])
        if found is None:
            raise _missing(ref)
        async with fetched(lambda to: self._download(found["_id"], ref, to)) as path:
            yield path

    async def _download(self, file_id: str, ref: PaperRef, to: Fetched) -> None:
        try:
            async with self._data.call():
                stream = await settle(self._bucket().open_download_stream(file_id))
            while True:
                async with self._data.call():
                    piece = await stream.readchunk()
                if not piece:
                    break
                await to.write(piece)
        except (NoFile, CorruptGridFile) as error:  # purged while it was read
            raise _missing(ref) from error
        if to.sha256 != ref.sha256:
            raise _missing(ref)

    async def _purge_papers(self) -> None:
        """Files that no job refers to and uploads that were never finished, where both are older than an hour."""
        after: str | None = ""
        while after is not None:
            async with self._data.call():
                after = await self._purge_some(after)
        async with self._data.call():
            await self._purge_uploads()

    async def _purge_some(self, after: str) -> str | None:
        """Of the files behind the id `after`; returns the id to go on from."""
        data, files = self._data, self._data.collection("files.files")
        old = {"metadata.put_at": {"$lt": await data.now() - GRACE}}
        page = await listed(files.find({"_id": {"$gt": after}}, {"metadata": 1}).sort("_id", 1).limit(LOOKED_AT))
        hashes = [row["metadata"]["sha256"] for row in page]
        needed = set(await data.paper_refs.distinct("sha256", {"sha256": {"$in": hashes}}))
        for row in page:
            if row["metadata"]["sha256"] not in needed:
                await self._remove(row["_id"], old)
        return page[-1]["_id"] if len(page) == LOOKED_AT else None

    async def _remove(self, file_id: str, old: Document) -> None:
        """Unless somebody has put it again just now."""
        if (await self._data.collection("files.files").delete_one({"_id": file_id, **old})).deleted_count:
            await self._data.collection("files.chunks").delete_many({"files_id": file_id})

    async def _purge_uploads(self) -> None:
        data = self._data
        long_ago = await data.now() - GRACE
        for upload in await listed(data.uploads.find({"at": {"$lt": long_ago}}).limit(LOOKED_AT)):
            if await data.collection("files.files").find_one({"_id": upload["_id"]}, {"_id": 1}) is None:
                await data.collection("files.chunks").delete_many({"files_id": upload["_id"]})
            await data.uploads.delete_one({"_id": upload["_id"]})


async def _touch(data: Database, sha256: str) -> bool:
    """True: the file is there; it counts as put just now."""
    update = [{"$set": {"metadata.put_at": data.moment}}]
    done = await data.collection("files.files").update_one({"metadata.sha256": sha256}, update)
    return bool(done.matched_count)


async def _finish_upload(data: Database, file_id: str, sha256: str, size: int, name: str) -> None:
    """Give a finished upload its name. The majority's acknowledgement vouches for its chunks, too. Where another was
    faster with the same bytes, ours go."""
    files = data.collection("files.files")
    made: Document = {"_id": file_id, "filename": name, "length": size, "chunkSize": PIECE}
    made |= {"uploadDate": datetime.now(UTC), "metadata": {"sha256": sha256, "put_at": await data.now()}}
    await files.insert_one(made)
    if await files.find_one({"metadata.sha256": sha256, "_id": {"$lt": file_id}}, {"_id": 1}) is not None:
        await files.delete_one({"_id": file_id})
        await data.collection("files.chunks").delete_many({"files_id": file_id})
    await data.quick("uploads").delete_one({"_id": file_id})


def _missing(ref: PaperRef) -> PaperError:
    return PaperError(
        "paper_missing", f"The file of paper {ref.name!r} is not in the database: submit it again, or restore it."
    )
