"""One private bucket of Supabase Storage: objects in, out and away, as streams."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import BinaryIO

from gradewatch.errors import StoreError
from gradewatch.stores.supabase.client import SupabaseClient, read_refusal
from gradewatch.stores.supabase.faults import Answer

BUCKET = "gradewatch-papers"
SLOWEST = 1 << 18  # bytes a second: a transfer that is slower than that for its whole length is given up
PIECE = 1 << 16  # bytes read at once


class TooLarge(Exception):
    """Storage takes no object of this size."""


class Missing(Exception):
    """There is no such object."""


class Bucket:
    def __init__(self, client: SupabaseClient) -> None:
        self._client = client

    async def prepare(self) -> bool:
        """Create the bucket where it is not there; True when it was made now. Raises store errors."""
        body = {"id": BUCKET, "name": BUCKET, "public": False}
        async with self._client.answer("POST", "storage/v1/bucket", json=body) as response:
            if response.is_success:
                return True
            answer = await read_refusal(response)
        if _status(answer) == 409 or "already exists" in str(answer.fields.get("message")):
            return False
        raise self._refused(answer)

    async def upload(self, name: str, reading: BinaryIO, size: int) -> None:
        """Send the file from its beginning; the bucket is made on first use. Raises TooLarge and store errors."""
        if not await self._try_upload(name, reading, size):
            await self.prepare()
            if not await self._try_upload(name, reading, size):
                raise self._lost()

    async def _try_upload(self, name: str, reading: BinaryIO, size: int) -> bool:
        """False: there is no bucket."""
        reading.seek(0)
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size), "x-upsert": "true"}
        path, content = f"storage/v1/object/{BUCKET}/{name}", _pieces(reading)
        async with self._client.answer(
            "POST", path, seconds=self._patience(size), headers=headers, content=content
        ) as response:
            if response.is_success:
                return True
            answer = await read_refusal(response)
        if _status(answer) == 404 and not answer.page:
            return False
        if _status(answer) == 413:
            raise TooLarge
        raise self._refused(answer)

    async def exists(self, name: str) -> bool:
        async with self._client.answer("GET", f"storage/v1/object/info/{BUCKET}/{name}") as response:
            if response.is_success:
                return True
            answer = await read_refusal(response)
        if _status(answer) == 404 and not answer.page:
            return False
        raise self._refused(answer)

    @asynccontextmanager
    async def download(self, name: str, size: int) -> AsyncIterator[AsyncIterator[bytes]]:
        """The object's bytes, piece by piece. Raises Missing and store errors."""
        path = f"storage/v1/object/{BUCKET}/{name}"
        async with self._client.answer("GET", path, seconds=self._patience(size)) as response:
            if not response.is_success:
                answer = await read_refusal(response)
                if _status(answer) == 404 and not answer.page:
                    raise Missing
                raise self._refused(answer)
            yield response.aiter_bytes(PIECE)

    async def remove(self, names: Sequence[str]) -> None:
        """Those that are not there are passed over. Raises store errors."""
        body = json.dumps({"prefixes": list(names)}).encode()
        headers = {"Content-Type": "application/json"}
        async with self._client.answer(
            "DELETE", f"storage/v1/object/{BUCKET}", headers=headers, content=body
        ) as response:
            if response.is_success:
                return
            answer = await read_refusal(response)
        if _status(answer) != 404 or answer.page:  # without a bucket there is nothing to remove
            raise self._refused(answer)

    def _patience(self, size: int) -> float:
        return self._client.timeout + size / SLOWEST

    def _lost(self) -> StoreError:
        return self._client.faults.no_api(Answer(404, "application/json", b""))

    def _refused(self, answer: Answer) -> StoreError:
        return self._client.faults.refused(Answer(_status(answer), answer.content_type, answer.body))


def _status(answer: Answer) -> int:
    """Storage says 400 where its body says what it is."""
    said = str(answer.fields.get("statusCode", ""))
    return int(said) if answer.status == 400 and said.isdecimal() else answer.status


async def _pieces(reading: BinaryIO) -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(reading.read, PIECE):
        yield piece
