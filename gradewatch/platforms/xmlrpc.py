"""XML-RPC over HTTP or over HTTP on a unix socket, without a thread: one call, one answer or one fault."""

from __future__ import annotations

import base64
import xmlrpc.client
from typing import Any
from xml.parsers.expat import ExpatError

from gradewatch.errors import PlatformError
from gradewatch.platforms.asking import Answer, ask


class Fault(PlatformError):
    """The other side understood, and would not."""

    def __init__(self, code: int, words: str) -> None:
        self.code, self.words = code, words
        super().__init__(words)


class Rpc:
    """`url` is http://host:port or unix:///path; `who` names the other side in errors."""

    def __init__(self, url: str, *, who: str, username: str = "", password: str = "", timeout: float = 5.0) -> None:
        self._socket = url.removeprefix("unix://") if url.startswith("unix://") else ""
        self._url = "http://localhost/RPC2" if self._socket else url.rstrip("/").removesuffix("/RPC2") + "/RPC2"
        self._who, self._timeout = who, timeout
        self._headers = {"Content-Type": "text/xml"}
        if username or password:
            pair = base64.b64encode(f"{username}:{password}".encode()).decode()
            self._headers["Authorization"] = f"Basic {pair}"

    async def call(self, method: str, *params: Any) -> Any:
        """Raises Fault; PlatformError when it does not answer, or not in XML-RPC."""
        answer = await ask(
            "POST",
            self._url,
            who=self._who,
            timeout=self._timeout,
            headers=self._headers,
            body=xmlrpc.client.dumps(params, method).encode(),
            socket=self._socket,
            proxied=False,
        )
        return self._value(answer)

    def _value(self, answer: Answer) -> Any:
        if answer.status in (401, 403):
            raise PlatformError(
                f"{self._who} refuses this caller ({answer.status}): set SUPERVISOR_USERNAME and SUPERVISOR_PASSWORD "
                "to those of its [inet_http_server] or [unix_http_server]"
            )
        if answer.status != 200:
            raise PlatformError(f"{self._who} answered {answer.status} where XML-RPC was expected: {answer.said}")
        try:
            values, _ = xmlrpc.client.loads(answer.body.decode())
            return values[0]
        except xmlrpc.client.Fault as fault:
            raise Fault(fault.faultCode, fault.faultString) from fault
        except (ExpatError, xmlrpc.client.Error, ValueError, LookupError, TypeError) as error:
            raise PlatformError(f"{self._who} answered with something that is not XML-RPC: {answer.said}") from error
