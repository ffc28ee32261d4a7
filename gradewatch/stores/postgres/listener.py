"""Hearing that jobs have come in, on a connection of its own. Whatever is missed here is found by polling."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import psycopg
import structlog

from gradewatch.errors import StoreError
from gradewatch.stores.postgres.address import Address
from gradewatch.stores.postgres.connections import Connection, connect

log = structlog.get_logger(__name__)

RETRY = 5.0  # seconds between two attempts to listen


class Listener:
    """`heard` rises with each notification, and with each new beginning; it is None while nothing can be heard."""

    def __init__(self, address: Address, *, timeout: float) -> None:
        self.heard: int | None = None
        self._address = address
        self._timeout = timeout
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
                connection = await connect(self._address, self._timeout)
                async with connection:
                    if not await self._begin(connection):
                        return
                    await self._hear(connection)
            except (StoreError, psycopg.Error, TimeoutError) as error:
                log.debug("not listening, polling instead", store=self._address.shown, reason=type(error).__name__)
            finally:
                self.heard = None
                self._tried.set()
            await asyncio.sleep(RETRY)

    async def _begin(self, connection: Connection) -> bool:
        """False behind a pooler: it answers for another server process than it connected us to, and would lose what
        that one is told."""
        async with asyncio.timeout(self._timeout):
            cursor = await connection.execute("SELECT pg_backend_pid()")
            row = await cursor.fetchone()
            if row is None or row[0] != connection.info.backend_pid:
                log.info("a pooler stands before the store: polling instead of listening", store=self._address.shown)
                return False
            await connection.execute("LISTEN gradewatch")
            return True

    async def _hear(self, connection: Connection) -> None:
        self._note()
        self._tried.set()
        async for _ in connection.notifies():
            self._note()

    def _note(self) -> None:
        self._count += 1
        self.heard = self._count
