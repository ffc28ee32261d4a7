"""An application on a port: bounded connections, a clear word when the port is taken, a quick goodbye."""

from __future__ import annotations

import asyncio
import socket
from typing import cast

import structlog
from aiohttp import web

from gradewatch.http.port import reserve, url_of

MAX_CONNECTIONS = 1000
KEEPALIVE = 75.0  # seconds an idle connection is kept
GOODBYE = 3.0  # seconds that requests in flight get at the end

log = structlog.get_logger(__name__)


class _Refuse(asyncio.Protocol):
    """Closes a connection at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


class Server:
    """A running server. `url` is where it can be reached, without a slash at the end."""

    def __init__(self, runner: web.AppRunner, listener: asyncio.Server, url: str) -> None:
        self._runner, self._listener, self.url = runner, listener, url
        self.port: int = listener.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening, let requests in flight end within GOODBYE seconds, end the event streams."""
        self._listener.close()
        await self._runner.cleanup()


async def serve(app: web.Application, host: str, port: int) -> Server:
    """Serve `app`; port 0 takes any free one. Raises GradewatchError when the address cannot be had."""
    return await serve_on(reserve(host, port), app)


async def serve_on(reserved: socket.socket, app: web.Application) -> Server:
    """Serve `app` on a port that was reserved before, and that is closed with the server."""
    url = url_of(reserved)
    runner = web.AppRunner(
        app,
        access_log=None,
        auto_decompress=False,  # reading.py refuses compressed bodies: no zip bombs
        keepalive_timeout=KEEPALIVE,
        shutdown_timeout=GOODBYE,
    )
    await runner.setup()
    handlers = cast(web.Server, runner.server)

    def connect() -> asyncio.Protocol:
        if len(handlers.connections) < MAX_CONNECTIONS:
            return handlers()
        log.warning("too many HTTP connections, one was refused", most=MAX_CONNECTIONS)
        return _Refuse()

    listener = await asyncio.get_running_loop().create_server(connect, sock=reserved)
    return Server(runner, listener, url)
