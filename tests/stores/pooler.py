"""A transaction pooler reduced to its nature: each transaction of a client may run in another server process, and what
a session would remember is lost. It runs in a thread of its own, for tests in any event loop."""

from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

STARTUP, SSL, CANCEL = 196608, 80877103, 80877102
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Pooler:
    """Before the server at `port`, for its user postgres and one database. `servers` is how many server processes all
    clients share; they take turns."""

    def __init__(self, port: int, database: str, *, servers: int = 4) -> None:
        self.transactions = 0
        self._upstream = port
        self._greeting = f"user\0postgres\0database\0{database}\0\0".encode()
        self._servers = servers
        self._clients: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.port: int = self._do(self._start())

    def drop(self) -> None:
        """Cut every client off, as a pooler does that is restarted."""
        self._loop.call_soon_threadsafe(lambda: [client.close() for client in self._clients])

    def close(self) -> None:
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _do(self, call: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(call, self._loop).result(10)

    async def _start(self) -> int:
        self._free: asyncio.Queue[Streams] = asyncio.Queue()
        for _ in range(self._servers):
            self._free.put_nowait(await self._server())
        self._listening = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = self._listening.sockets[0].getsockname()[1]
        return port

    async def _stop(self) -> None:
        self._listening.close()
        for client in self._clients:
            client.close()
        while not self._free.empty():
            self._free.get_nowait()[1].close()
        await asyncio.sleep(0.05)  # for the clients' handlers to see their end

    async def _server(self) -> Streams:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._upstream)
        writer.write(struct.pack("!II", 8 + len(self._greeting), STARTUP) + self._greeting)
        while (message := await _message(reader))[:1] != b"Z":
            assert message[:1] != b"E", message
        return reader, writer

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):  # until the client has gone
                if await _greet(reader, writer):
                    while True:
                        await self._transaction(reader, writer, await _message(reader))
        finally:
            self._clients.discard(writer)
            writer.close()

    async def _transaction(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter, message: bytes) -> None:
        """From the client's first message until the server is idle again."""
        if message[:1] == b"X":
            raise ConnectionError
        async with self._taken() as (answers, server):
            state, asked = b"", 0
            while state != b"I":
                server.write(message)
                asked += message[:1] in (b"Q", b"S")
                while asked:
                    answer = await _message(answers)
                    client.write(answer)
                    if answer[:1] == b"Z":
                        asked, state = asked - 1, answer[5:6]
                await client.drain()
                if state != b"I":
                    message = await _message(reader)
        self.transactions += 1

    @asynccontextmanager
    async def _taken(self) -> AsyncIterator[Streams]:
        streams = await self._free.get()
        try:
            yield streams
        except BaseException:
            streams[1].close()
            with suppress(OSError):
                streams = await self._server()
            raise
        finally:
            self._free.put_nowait(streams)


async def _message(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(5)
    return head + await reader.readexactly(struct.unpack("!I", head[1:])[0] - 4)


async def _greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Answer a client's start-up as a pooler does: with a process id that no server process has."""
    while True:
        length, code = struct.unpack("!II", await reader.readexactly(8))
        await reader.readexactly(length - 8)
        if code == CANCEL:
            return False
        if code == STARTUP:
            break
        writer.write(b"N")
    settings = {"server_version": "15.0", "client_encoding": "UTF8", "standard_conforming_strings": "on"}
    writer.write(b"R" + struct.pack("!II", 8, 0))
    for name, value in settings.items():
        pair = f"{name}\0{value}\0".encode()
        writer.write(b"S" + struct.pack("!I", 4 + len(pair)) + pair)
    writer.write(b"K" + struct.pack("!III", 12, 2**31 - 1, 4711) + b"Z" + struct.pack("!I", 5) + b"I")
    await writer.drain()
    return True
