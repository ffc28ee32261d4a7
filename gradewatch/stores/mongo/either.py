"""What differs between the two drivers' handles. PyMongo's asynchronous client and Motor's speak alike, but for what
must be awaited and which class reads GridFS: whatever is awaitable is awaited."""

from __future__ import annotations

import inspect
from typing import Any


async def settle(value: Any) -> Any:
    """What a driver's method gives in the end, whether it must be awaited or not."""
    return await value if inspect.isawaitable(value) else value


async def listed(cursor: Any) -> list[Any]:
    """Every document of a cursor, or of a call that gives one."""
    found: list[Any] = await (await settle(cursor)).to_list(None)
    return found


def bucket(database: Any, name: str, chunk: int) -> Any:
    """The GridFS bucket of the handle's own kind."""
    if type(database).__module__.partition(".")[0] == "motor":
        from motor.motor_asyncio import AsyncIOMotorGridFSBucket

        return AsyncIOMotorGridFSBucket(database, bucket_name=name, chunk_size_bytes=chunk)
    from gridfs.asynchronous import AsyncGridFSBucket

    return AsyncGridFSBucket(database, bucket_name=name, chunk_size_bytes=chunk)
