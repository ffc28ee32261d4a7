"""A change stream of what changes the depth of a queue."""

from __future__ import annotations

from typing import Any

from bson.errors import BSONError
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from gradewatch.stores.listener import Listener
from gradewatch.stores.mongo.database import Database
from gradewatch.stores.mongo.either import settle

AWAIT = 500  # milliseconds for which the server holds a question that it has no answer to
# One event a batch of jobs, not one a job: each change of the queue's depth is such a document.
_WAKING = [{"$match": {"operationType": "insert", "fullDocument.wakes": True}}, {"$project": {"_id": 1}}]


class ChangeStream(Listener):
    faults = (PyMongoError, BSONError)

    def __init__(self, data: Database) -> None:
        super().__init__(data.address.shown)
        self._data = data

    async def listen(self) -> None:
        if not await self._data.replicated():
            return
        deltas: Any = self._data.deltas.with_options(read_concern=ReadConcern())  # a stream takes no other
        stream = await settle(deltas.watch(_WAKING, max_await_time_ms=AWAIT))
        try:
            await stream.try_next()  # the driver opens the stream with the first question
            self.note()
            while stream.alive:
                if await stream.try_next() is not None:
                    self.note()
            raise ConnectionError("the stream has ended")
        finally:
            await settle(stream.close())
