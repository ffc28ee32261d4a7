"""Requests to a Supabase project, over supabase-py's asynchronous PostgREST client: each with a deadline, checked to be
an answer of the API, and with errors as the project's own.

supabase-py by itself hands a web page on as if it were data, cuts a timeout down to whole seconds, and repeats reads
behind the caller's back. Here its HTTP client is ours, and what is no answer of the API is stopped before it sees it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
from postgrest import APIError, AsyncPostgrestClient

from gradewatch.errors import PayloadError, StoreError, StoreUnavailable
from gradewatch.stores.supabase import keys
from gradewatch.stores.supabase.faults import Answer, Faults
from gradewatch.stores.supabase.project import Project

CONNECTIONS = 5  # of one handle; a worker needs some three at a time
SHARE = 0.95  # of a call's time, after which it is given up: so that whoever set the time hears why
IDLE = 50.0  # seconds after which an unused connection is closed, before a gateway does it
_MOST_ERROR = 1 << 16  # bytes of a refusal that are read


class SupabaseClient:
    """`url` is the project's; `key` its secret or service_role key; `timeout` the deadline of a call in seconds.
    Nothing is sent before the first call. An instance belongs to one event loop."""

    def __init__(self, url: str, key: str, *, timeout: float = 5.0, connections: int = CONNECTIONS) -> None:
        self.project = Project(url)
        self.place = self.project.shown
        self.timeout = timeout
        self.connections = connections
        self.faults = Faults(self.project, key)
        self._key = key
        self._closed = False
        self._http: httpx.AsyncClient | None = None
        self._rest: AsyncPostgrestClient | None = None

    def verify_key(self) -> None:
        """Raises AccessDenied for a key that would see no rows, or none at all: the server would not say so."""
        if why := keys.misfit(self._key):
            raise self.faults.unfit_key(why)

    async def close(self) -> None:
        self._closed = True
        if self._http is not None:
            await self._http.aclose()

    # ---------------------------------------------------------------- PostgREST

    async def rpc(self, function: str, arguments: Mapping[str, Any]) -> Any:
        """What a function answers, as JSON says it. Raises store errors, and PayloadError for what is too large."""
        rest = self._postgrest()
        async with self._bounded(self.timeout):
            return (await rest.rpc(function, dict(arguments)).execute()).data

    def table(self, name: str) -> Any:
        """supabase-py's builder of a request to a table or view; `rows` sends what was built."""
        return self._postgrest().table(name)

    async def rows(self, request: Any) -> list[dict[str, Any]]:
        """The rows that such a request answers. Raises store errors; an answer that is no list of rows is one."""
        answer = await self._execute(request)
        if not isinstance(answer.data, list) or not all(isinstance(row, dict) for row in answer.data):
            raise self.odd_answer()
        return answer.data

    async def count(self, request: Any) -> int:
        """How many rows such a request concerns; it was built with `count=`."""
        answer = await self._execute(request)
        if not isinstance(answer.count, int):
            raise self.odd_answer()
        return answer.count

    async def _execute(self, request: Any) -> Any:
        if hasattr(request, "retry"):
            request = request.retry(False)
        async with self._bounded(self.timeout):
            return await request.execute()

    def odd_answer(self) -> StoreError:
        """For an answer in JSON that is not what was asked for."""
        return self.faults.no_api(Answer(200, "application/json", b""))

    # ---------------------------------------------------------------- other parts, such as Storage

    @asynccontextmanager
    async def answer(
        self, method: str, path: str, *, seconds: float | None = None, **options: Any
    ) -> AsyncIterator[httpx.Response]:
        """The response to a plain request under the project's URL, its body not read yet, whatever its status. The
        whole context ends within `seconds`. Raises store errors."""
        async with (
            self._bounded(seconds or self.timeout),
            self._client().stream(method, f"{self.project.url}/{path}", **options) as response,
        ):
            yield response

    # ---------------------------------------------------------------- beneath

    @asynccontextmanager
    async def _bounded(self, seconds: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(seconds * SHARE):
                yield
        except (TimeoutError, httpx.TimeoutException):
            raise self.faults.timed_out(seconds) from None
        except httpx.HTTPError as error:
            raise self.faults.transport(error) from None  # its own text may quote what was sent
        except (UnicodeDecodeError, RecursionError):
            raise self.odd_answer() from None
        except APIError as error:
            said = json.dumps({"code": error.code, "message": error.message})
            raise self.faults.refused(Answer(500, "application/json", said.encode())) from None

    def _client(self) -> httpx.AsyncClient:
        if self._closed:
            raise StoreUnavailable(f"{self.place}: this handle is closed.", fix="Open another one.")
        self.verify_key()  # also because a header holds not just any character
        if self._http is None:
            self._http = httpx.AsyncClient(
                base_url=f"{self.project.url}/rest/v1",
                headers={"apikey": self._key, "Authorization": f"Bearer {self._key}"},
                timeout=httpx.Timeout(self.timeout),
                limits=httpx.Limits(
                    max_connections=self.connections,
                    max_keepalive_connections=self.connections,
                    keepalive_expiry=IDLE,
                ),
                follow_redirects=False,
                verify=self.project.encrypted,  # without encryption there is no certificate to load
                trust_env=not self.project.loopback,
                event_hooks={"response": [self._screen]},
            )
        return self._http

    def _postgrest(self) -> AsyncPostgrestClient:
        http = self._client()
        if self._rest is None:
            headers = {name: http.headers[name] for name in ("apikey", "Authorization")}
            self._rest = AsyncPostgrestClient(f"{self.project.url}/rest/v1", headers=headers, http_client=http)
        return self._rest

    async def _screen(self, response: httpx.Response) -> None:
        """Stop what PostgREST would not have said before supabase-py takes it for data."""
        if not response.request.url.path.startswith("/rest/v1"):
            return
        kind = response.headers.get("content-type", "").lower()
        if response.is_success and ("json" in kind or response.status_code == 204):
            return
        answer = await read_refusal(response)
        if response.is_success:
            raise self.faults.no_api(answer)
        if response.status_code == 404 and not answer.page and not answer.fields and _table(response.request.url.path):
            # what PostgREST 12 says, without a word, to a write to a table that it does not know
            raise self.faults.misfit(f"its API knows no table {_table(response.request.url.path)}")
        if response.status_code == 413:
            raise PayloadError(f"{self.place} takes no request of this size: hand large files over as papers.")
        raise self.faults.refused(answer)


def _table(path: str) -> str:
    """The table that a request under this path concerns; empty where it concerns none."""
    name = path.removeprefix("/rest/v1/")
    return "" if "/" in name else name


async def read_refusal(response: httpx.Response) -> Answer:
    """The response with the first part of its body."""
    body = b""
    async for part in response.aiter_bytes():
        body += part
        if len(body) >= _MOST_ERROR:
            break
    return Answer(response.status_code, response.headers.get("content-type", "").lower(), body[:_MOST_ERROR])
