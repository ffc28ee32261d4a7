"""Hearing that jobs have come in, by a change stream. Whatever is missed here is found by polling."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import structlog
from bson.errors import BSONError
from pymongo.errors import PyMongoError

from gradewatch.stores.mongo.database import Database
from gradewatch.stores.mongo.either import settle

log = structlog.get_logger(__name__)

RETRY = 5.0  # seconds between two attempts to listen
AWAIT = 500  # milliseconds for which the server holds a question that it has no answer to
# One event a batch of jobs, not one a job: each change of the queue's depth is such a document.
_WAKING = [{"$match": {"operationType": "insert", "fullDocument.wakes": True}}, {"$project": {"_id": 1}}]


class Listener:
    """`heard` rises with each change, and with each new beginning; it is None while nothing can be heard."""

    def __init__(self, data: Database) -> None:
        self.heard: int | None = None
        self._data = data
        self._task: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
        self._count = 0

    async def ready(self) -> None:
        """Begin to listen, and come back once it is known whether that works."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep_listening(), name="gradewatch listener")
        await self._tried.wait()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _keep_listening(self) -> None:
        while True:
            try:
                if not await self._data.replicated():
                    return
                await self._hear()
            except (PyMongoError, BSONError, TimeoutError) as error:
                where, why = self._data.address.shown, type(error).__name__
                log.debug("not listening, polling instead", store=where, reason=why)
            finally:
                self.heard = None
                self._tried.set()
            await asyncio.sleep(RETRY)

    async def _hear(self) -> None:
        deltas: Any = self._data.quick("deltas")
        stream = await settle(deltas.watch(_WAKING, max_await_time_ms=AWAIT))
        try:
            await stream.try_next()  # the driver opens the stream with the first question
            self._note()
            self._tried.set()
            while stream.alive:
                if await stream.try_next() is not None:
                    self._note()
        finally:
            await settle(stream.close())

    def _note(self) -> None:
        self._count += 1
        self.heard = self._count
