"""One HTTP request to a platform: a deadline, no redirect followed, a bounded answer, and errors without addresses."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from gradewatch.errors import PlatformError

LARGEST = 4 * 1024 * 1024  # bytes of an answer
QUOTED = 200  # characters of an answer that an error repeats


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    retry_after: str = ""

    def json(self, who: str) -> Any:
        """Raises PlatformError when it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise PlatformError(f"{who} answered {self.status} with something that is not JSON: {self.said}") from error

    @property
    def said(self) -> str:
        """The beginning of the answer, fit for one line of a message."""
        text = " ".join(self.body[: 4 * QUOTED].decode("utf-8", "replace").split())
        text = "".join(c for c in text if c.isprintable())
        return (text[:QUOTED] + "…" if len(text) > QUOTED else text) or "an empty answer"


class NoAnswer(PlatformError):
    """Nothing came back: the request may or may not have arrived."""


async def ask(
    method: str,
    url: str,
    *,
    who: str,
    timeout: float,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    socket: str = "",
    proxied: bool = True,
) -> Answer:
    """Send one request; `socket` is the path of a unix socket to send it over. `who` names the other side in errors,
    because a URL may hold a secret. Raises NoAnswer; PlatformError when the answer is too long."""
    connector = aiohttp.UnixConnector(socket) if socket else None
    limit = aiohttp.ClientTimeout(total=timeout)
    try:
        async with (
            aiohttp.ClientSession(timeout=limit, connector=connector, trust_env=proxied) as session,
            session.request(method, url, headers=headers, data=body, allow_redirects=False) as response,
        ):
            content = await _bounded(response, who)
            return Answer(response.status, content, response.headers.get("Retry-After", ""))
    except TimeoutError as error:
        raise NoAnswer(f"{who} did not answer within {timeout:g} s") from error
    except aiohttp.ClientError as error:
        raise NoAnswer(f"{who} cannot be reached: {_why(error)}") from error
    except (OSError, ValueError) as error:
        raise NoAnswer(f"{who} cannot be reached: {type(error).__name__}") from error


async def _bounded(response: aiohttp.ClientResponse, who: str) -> bytes:
    content = bytearray()
    async for chunk in response.content.iter_chunked(65536):
        content += chunk
        if len(content) > LARGEST:
            raise PlatformError(f"{who} answered with more than {LARGEST >> 20} MB: that is not its API")
    return bytes(content)


def _why(error: aiohttp.ClientError) -> str:
    """Of the driver's words only what holds no address."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "its certificate is not valid"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name cannot be resolved"
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno
        return os.strerror(number) if number else type(error.os_error).__name__
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError | aiohttp.ClientPayloadError):
        return "the connection was cut"
    return f"it does not speak HTTP as expected ({type(error).__name__})"
