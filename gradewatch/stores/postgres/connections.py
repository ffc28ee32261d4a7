"""A bounded set of connections to one server, for one event loop. None outlives a fault, a deadline or its idleness."""

from __future__ import annotations

import asyncio
import select
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.pq import ConnStatus

from gradewatch.stores.postgres import faults
from gradewatch.stores.postgres.address import Address

IDLE = 240.0  # seconds after which an unused connection is closed: before firewalls and poolers cut it silently
Connection = psycopg.AsyncConnection[Any]


async def connect(address: Address, seconds: float) -> Connection:
    """Open a connection in autocommit mode within a deadline. Raises store errors.

    Nothing is kept in its session and nothing is prepared there, so that a transaction pooler may stand between.
    """
    defaults: dict[str, Any] = {
        "application_name": "gradewatch",
        "tcp_user_timeout": round(seconds * 1000),
        "keepalives_idle": 30,
    }
    where = make_conninfo(**(defaults | address.parameters), client_encoding="utf8")
    try:
        async with asyncio.timeout(seconds):
            return await psycopg.AsyncConnection.connect(where, autocommit=True, prepare_threshold=None)
    except TimeoutError:
        raise faults.timed_out(address, seconds) from None
    except psycopg.Error as error:
        raise faults.translate(error, address) from None  # the driver's own text may hold the password


class Connections:
    def __init__(self, address: Address, *, size: int, timeout: float) -> None:
        self._address = address
        self._size = size
        self._timeout = timeout
        self._free = asyncio.Semaphore(size)
        self._idle: list[tuple[Connection, float]] = []  # the newest last: the others may grow old and go
        self._closed = False

    @asynccontextmanager
    async def one(self, deadline: float) -> AsyncIterator[Connection]:
        """A connection for the length of the context, cut off at `deadline` (loop time). Raises store errors."""
        loop = asyncio.get_running_loop()
        await self._turn(deadline)
        try:
            connection = self._reuse() or await connect(self._address, max(0.01, deadline - loop.time()))
            fuse = loop.call_at(deadline, _cut, connection)
            try:
                yield connection
            except psycopg.Error as error:
                if loop.time() >= deadline:
                    raise faults.timed_out(self._address, self._timeout) from error
                raise faults.translate(error, self._address) from error
            finally:
                fuse.cancel()
                await self._give_back(connection)
        finally:
            self._free.release()

    async def close(self) -> None:
        self._closed = True
        while self._idle:
            await self._idle.pop()[0].close()

    async def _turn(self, deadline: float) -> None:
        if not self._free.locked():
            await self._free.acquire()
            return
        try:
            async with asyncio.timeout_at(deadline):
                await self._free.acquire()
        except TimeoutError:
            raise faults.busy(self._address, self._timeout, self._size) from None

    def _reuse(self) -> Connection | None:
        while self._idle:
            connection, since = self._idle.pop()
            if time.monotonic() - since < IDLE and _sound(connection):
                return connection
            connection.pgconn.finish()
        return None

    async def _give_back(self, connection: Connection) -> None:
        whole = connection.pgconn.transaction_status == psycopg.pq.TransactionStatus.IDLE
        if self._closed or not whole:
            await connection.close()
            return
        now = time.monotonic()
        self._idle.append((connection, now))
        while self._idle and now - self._idle[0][1] > IDLE:
            await self._idle.pop(0)[0].close()


def _sound(connection: Connection) -> bool:
    """Has the server left this idle connection alone? Of one that it ended there is something to read: its last words,
    or the end."""
    if connection.pgconn.status != ConnStatus.OK:
        return False
    poll = select.poll()
    poll.register(connection.pgconn.socket, select.POLLIN)
    return not poll.poll(0)


def _cut(connection: Connection) -> None:
    """End a call that the server no longer answers. Cancelling it would ask that same server to help."""
    if connection.closed:
        return
    with socket.socket(fileno=socket.dup(connection.pgconn.socket)) as line:
        try:
            line.shutdown(socket.SHUT_RDWR)
        except OSError:
            connection.pgconn.finish()
