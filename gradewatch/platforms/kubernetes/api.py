"""The API server over HTTP and plain JSON: one request, one page, one stream. Every request has a deadline."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp

from gradewatch.platforms.kubernetes.access import Access
from gradewatch.platforms.kubernetes.faults import ApiError, refusal
from gradewatch.version import __version__

Json = dict[str, Any]

MERGE_PATCH = "application/merge-patch+json"
MOST_BYTES = 64 << 20  # of one answer
MOST_LINE = 8 << 20  # of one object in a stream; etcd keeps none larger than 1.5 MB
PAGE = 50  # objects of one list request: reading a page keeps Python's lock for a few milliseconds
KEEPALIVE = ((socket.SO_KEEPALIVE, 1),)
PROBES = (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))  # a peer that vanished shows in 30 s


class Api:
    """Belongs to one event loop. Raises ApiError, and nothing else but for cancellation."""

    def __init__(self, access: Access, *, timeout: float) -> None:
        self.access, self.timeout = access, timeout
        self.now: datetime | None = None  # the API server's clock at its last answer, which came at `noted`
        self.noted = 0.0
        self._session: aiohttp.ClientSession | None = None
        self._version: object = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> Json:
        return await self.request("GET", path, params=params)

    async def page(self, path: str, params: Mapping[str, str], reduce: Callable[[Json], Any]) -> Json:
        """One page of a list with each of its items reduced, in a thread: a page of pods is some 500 KB of JSON."""
        return await self.request("GET", path, params=params, reduce=reduce)

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: Json | None = None,
        params: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        reduce: Callable[[Json], Any] | None = None,
    ) -> Json:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": content_type} if data is not None else {}
        try:
            async with asyncio.timeout(self.timeout), self._asked(method, path, params, headers, data) as response:
                whole = await _whole(response)
                answer = await asyncio.to_thread(_reduced, whole, reduce) if reduce else _object(whole)
                if response.status >= 300:
                    raise refusal(method, path, response.status, answer, response.headers.get("Retry-After", ""))
                self._note_clock(response)
        except TimeoutError as error:
            raise ApiError(f"Kubernetes did not answer {method} {path} within {self.timeout:g} s") from error
        if answer is None:
            raise ApiError(f"What answered {method} {path} is not Kubernetes: it sent no JSON object")
        return answer

    @asynccontextmanager
    async def stream(self, path: str, params: Mapping[str, str], quiet: float) -> AsyncIterator[AsyncIterator[Json]]:
        """The objects of a watch as they come. Silence of more than `quiet` seconds raises TimeoutError."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self.timeout, sock_read=quiet)
        try:
            asking = self._asked("GET", path, params, {}, None, timeout)
            async with asyncio.timeout(self.timeout) as starting, asking as response:
                if response.status >= 300:
                    answer = _object(await _whole(response))
                    raise refusal("GET", path, response.status, answer, response.headers.get("Retry-After", ""))
                starting.reschedule(None)
                _keep_alive(response)
                yield _objects(response)
        except aiohttp.SocketTimeoutError as error:
            raise TimeoutError from error

    @asynccontextmanager
    async def _asked(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str],
        data: bytes | None,
        timeout: aiohttp.ClientTimeout | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        token = await self.access.token()
        bearer = {"Authorization": f"Bearer {token}"} if token else {}
        session = await self._open()
        url, limit = self.access.server + path, timeout or aiohttp.ClientTimeout(total=self.timeout)
        try:
            async with session.request(
                method,
                url,
                params=params,
                headers={**headers, **bearer},
                data=data,
                timeout=limit,
                allow_redirects=False,
            ) as response:
                yield response
        except TimeoutError:
            raise
        except (aiohttp.ClientError, OSError) as error:
            raise ApiError(f"Kubernetes at {self.access.server} cannot be reached: {_why(error)}") from error

    async def _open(self) -> aiohttp.ClientSession:
        """The session; a new one once the CA bundle was rotated."""
        version = self.access.version()
        if self._session is not None and version != self._version:
            await self.close()
        if self._session is None:
            try:
                tls = self.access.tls()
            except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
                raise ApiError(f"The cluster's CA or our certificate cannot be used: {_why(error)}") from error
            connector = aiohttp.TCPConnector(ssl=True if tls is None else tls, limit=30, keepalive_timeout=60.0)
            self._session = aiohttp.ClientSession(
                connector=connector,
                headers={"Accept": "application/json", "User-Agent": f"gradewatch/{__version__}"},
                auto_decompress=True,
            )
            self._version = version
        return self._session

    def _note_clock(self, response: aiohttp.ClientResponse) -> None:
        try:
            self.now = parsedate_to_datetime(response.headers.get("Date", ""))
        except ValueError:
            self.now = None
        self.noted = time.monotonic()


def _why(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"its certificate is not accepted ({error.certificate_error})"
    return str(error) or type(error).__name__


async def _whole(response: aiohttp.ClientResponse) -> bytes:
    chunks, size = [], 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > MOST_BYTES:
            raise ApiError(f"An answer of Kubernetes is larger than {MOST_BYTES >> 20} MB")
        chunks.append(chunk)
    return b"".join(chunks)


def _object(data: bytes) -> Json | None:
    """None for what is no JSON object."""
    try:
        answer = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


def _reduced(data: bytes, reduce: Callable[[Json], Any]) -> Json | None:
    answer = _object(data)
    if answer is not None and isinstance(answer.get("items"), list):
        answer["items"] = [reduce(item) for item in answer["items"]]
    return answer


async def _objects(response: aiohttp.ClientResponse) -> AsyncIterator[Json]:
    """One object a line. The stream's own readline would refuse a pod of more than 128 KB."""
    rest = b""
    async for chunk in response.content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > MOST_LINE:
            raise ApiError("A line of Kubernetes' watch has no end")
        for line in lines:
            if line.strip():
                answer = _object(line)
                if answer is None:
                    raise ApiError("A line of Kubernetes' watch is no JSON object")
                yield answer


def _keep_alive(response: aiohttp.ClientResponse) -> None:
    connection = response.connection
    sock = connection.transport.get_extra_info("socket") if connection and connection.transport else None
    if sock is None:
        return
    for option, value in KEEPALIVE:
        sock.setsockopt(socket.SOL_SOCKET, option, value)
    for name, value in PROBES:
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
