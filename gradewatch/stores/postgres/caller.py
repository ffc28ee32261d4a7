"""Calling the schema's functions: one message there, one back, and the server's own deadlines with it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

from psycopg.pq import Escaping, abc

from gradewatch.stores.postgres.address import Address
from gradewatch.stores.postgres.connections import Connection, Connections
from gradewatch.stores.postgres.encode import text

SHARE = 0.9  # of a call's time that its statement may take on the server: so that the server says what is wrong
LOCK_SHARE = 0.8  # of that, what it may wait for a lock


class Caller(Protocol):
    async def call(self, function: str, **arguments: Any) -> Any:
        """What the function answers; JSON is decoded. Raises store errors."""
        ...


class Database:
    """A `Caller` over direct connections.

    Statement, its deadlines and its isolation travel as one simple query, which the server runs as one transaction:
    that needs no session, so that a transaction pooler may hand each call to another server process.
    """

    def __init__(
        self, address: Address, *, timeout: float, size: int, settings: Mapping[str, str] | None = None
    ) -> None:
        self.address = address
        self.timeout = timeout
        self.connections = Connections(address, size=size, timeout=timeout)
        self.settings = settings or {}  # further ones, made anew for each call

    async def call(self, function: str, **arguments: Any) -> Any:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.timeout
        async with self.connections.one(deadline) as connection:
            if any(isinstance(value, bytes) for value in arguments.values()):
                return await self._call_binary(connection, function, arguments)
            said = self.preamble(connection, deadline - loop.time()) + _statement(connection, function, arguments)
            cursor = await connection.execute(said)
            while cursor.nextset():
                pass
            row = await cursor.fetchone()
            return None if row is None else row[0]

    async def _call_binary(self, connection: Connection, function: str, arguments: Mapping[str, Any]) -> None:
        """For bytes, whose SQL text the server takes four times as long to read: two statements in one message, which
        make up a transaction too."""
        given = ", ".join(
            f"{name} => {'%b' if isinstance(value, bytes) else '%s'}" for name, value in arguments.items()
        )
        limit = str(_limit(self.timeout))
        async with connection.pipeline():
            await connection.execute(
                "SELECT set_config('statement_timeout', %s, true), set_config('lock_timeout', %s, true)", (limit, limit)
            )
            await connection.execute(f"SELECT gradewatch.{function}({given})".encode(), tuple(arguments.values()))

    def preamble(self, connection: Connection, seconds: float) -> bytes:
        """What precedes the statements of a transaction that may take so long."""
        limit = _limit(seconds)
        words = (
            "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; "
            f"SET LOCAL statement_timeout = {limit}; SET LOCAL lock_timeout = {max(1, round(limit * LOCK_SHARE))}; "
            f"SET LOCAL idle_in_transaction_session_timeout = {limit}; "
        ).encode()
        for name, value in self.settings.items():
            words += b"SET LOCAL " + name.encode() + b" = " + _literal(Escaping(connection.pgconn), value) + b"; "
        return words

    async def close(self) -> None:
        await self.connections.close()


def _limit(seconds: float) -> int:
    """What a statement may take on the server, in milliseconds, when its call may take so long."""
    return max(1, round(seconds * SHARE * 1000))


def _statement(connection: Connection, function: str, arguments: Mapping[str, Any]) -> bytes:
    escape = Escaping(connection.pgconn)
    given = (name.encode() + b" => " + _literal(escape, value) for name, value in arguments.items())
    return b'SELECT gradewatch."' + function.encode() + b'"(' + b", ".join(given) + b")"


def _literal(escape: abc.Escaping, value: Any) -> bytes:
    """An argument as SQL. The functions' own types decide what a quoted one means."""
    match value:
        case None:
            return b"NULL"
        case bool():
            return b"true" if value else b"false"
        case int():
            return b"%d" % value
        case float():
            return b"'%s'" % repr(value).encode()
        case str():
            return bytes(escape.escape_literal(text(value).encode()))
        case list() | tuple():
            return b"ARRAY[" + b", ".join(_literal(escape, one) for one in value) + b"]::text[]"
    raise TypeError(f"an argument of type {type(value).__name__} has no place in a call")
