"""LISTEN, on a connection of its own."""

from __future__ import annotations

import asyncio

import psycopg
import structlog

from gradewatch.errors import StoreError
from gradewatch.stores.listener import Listener
from gradewatch.stores.postgres.address import Address
from gradewatch.stores.postgres.connections import Connection, connect

log = structlog.get_logger(__name__)


class Notifications(Listener):
    faults = (StoreError, psycopg.Error)

    def __init__(self, address: Address, *, timeout: float) -> None:
        super().__init__(address.shown)
        self._address, self._timeout = address, timeout

    async def listen(self) -> None:
        connection = await connect(self._address, self._timeout)
        async with connection:
            if not await self._begin(connection):
                return
            self.note()
            async for _ in connection.notifies():
                self.note()
            raise ConnectionError("the connection has ended")

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
