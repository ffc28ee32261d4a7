"""The MongoDB store as the contract suite runs on it: each driver's handle, and a server without transactions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mongo_server
from motor.motor_asyncio import AsyncIOMotorClient

from gradewatch.model import PaperRef
from gradewatch.ports import Store
from gradewatch.stores.mongo import MongoStore


class Mongo:
    """One database for all, emptied for each, of a replica set of one; through PyMongo's asynchronous client."""

    examples = 6

    def __init__(self, folder: Path) -> None:
        self.server = mongo_server.server()
        self.url = mongo_server.emptied(self.server)

    def handle(self, clock: Callable[[], int] | None) -> Store:
        return MongoStore(self.url, clock=clock)

    def age_paper(self, ref: PaperRef) -> None:
        with self.server.client() as client:
            files = client["contract"]["gradewatch_files.files"]
            files.update_many({"metadata.sha256": ref.sha256}, {"$set": {"metadata.put_at": 1}})


class MotorMongo(Mongo):
    """The same through Motor."""

    examples = 2

    def handle(self, clock: Callable[[], int] | None) -> Store:
        return MotorStore(self.url, clock)


class StandaloneMongo(Mongo):
    """A server without transactions and change streams."""

    examples = 3

    def __init__(self, folder: Path) -> None:
        self.server = mongo_server.standalone()
        self.url = mongo_server.emptied(self.server)


class MotorStore(MongoStore):
    """Over a Motor handle that is its own to close."""

    def __init__(self, url: str, clock: Callable[[], int] | None = None, **options: Any) -> None:
        self.client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(url)
        super().__init__(self.client["contract"], clock=clock, **options)

    async def close(self) -> None:
        await super().close()
        self.client.close()
