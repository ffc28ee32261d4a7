"""The PostgreSQL store over direct connections, or through a pooler of any mode."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from gradewatch.stores.postgres import schema
from gradewatch.stores.postgres.address import Address
from gradewatch.stores.postgres.caller import Database
from gradewatch.stores.postgres.functions import FunctionStore
from gradewatch.stores.postgres.listener import Notifications
from gradewatch.stores.postgres.papers import PaperTable

CONNECTIONS = 5  # of one handle; a worker needs some three at a time
MIGRATION = 60.0  # seconds a migration may take: it may have to build an index over a large table


class PostgresStore(PaperTable, FunctionStore):
    """See ports.Store for what each method promises.

    `url` is libpq's, or SQLAlchemy's with a driver named in it; ValueError where it is neither. `timeout` is the
    deadline of one call in seconds; `settings` are further server settings, made for each transaction. An instance
    belongs to one event loop.
    """

    kind = "postgres"

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 5.0,
        connections: int = CONNECTIONS,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._address = Address(url)
        self._database = Database(self._address, timeout=timeout, size=connections, settings=settings)
        self._listener = Notifications(self._address, timeout=timeout)
        super().__init__(self._database)
        self.place = self._address.shown

    async def open(self) -> None:
        """Connect. Raises SchemaMismatch when the schema is absent, older or newer; creates nothing."""
        schema.verify(self.place, await self._database.call("check", queues=[]))

    async def close(self) -> None:
        await self._listener.close()
        await self._database.close()

    async def change_token(self) -> object:
        """What has been heard of new work; where nothing can be heard, a sum that every change of a job changes."""
        await self._listener.ready()
        if self._listener.heard is not None:
            return "heard", self._listener.heard
        return "summed", await self._database.call("changes")

    async def migrate(self) -> list[str]:
        """Raises AccessDenied where this role may not create the schema, SchemaMismatch where it is another's."""
        deadline = asyncio.get_running_loop().time() + MIGRATION
        async with self._database.connections.one(deadline) as connection:
            return await schema.migrate(connection, self._database.preamble(connection, MIGRATION), self.place)

    def migration_text(self) -> str:
        return schema.migration_text()
