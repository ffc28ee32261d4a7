"""A network that can hang: bytes pass between clients and a server on this machine until it is told to keep them."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress


class Network:
    """Before the server at `upstream`, in a thread of its own, for tests in any event loop."""

    def __init__(self, upstream: int) -> None:
        self.hangs = False  # nothing passes any more, and nobody is told: connections stay open
        self._upstream = upstream
        self._pipes: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._listening = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        self.port: int = self._listening.sockets[0].getsockname()[1]

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _start(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def _stop(self) -> None:
        self._listening.close()
        for pipe in self._pipes:
            pipe.cancel()
        await asyncio.gather(*self._pipes, return_exceptions=True)
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._upstream)
        for source, sink in ((reader, back), (there, writer)):
            task = asyncio.get_running_loop().create_task(self._pipe(source, sink))
            self._pipes.add(task)
            task.add_done_callback(self._pipes.discard)

    async def _pipe(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.CancelledError):  # until either side has gone
            while data := await source.read(1 << 16):
                while self.hangs:
                    await asyncio.sleep(0.01)
                sink.write(data)
                await sink.drain()
        sink.close()
