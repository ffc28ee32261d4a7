"""A copy of what the API server holds: list, then watch from the list's version, for ever.

A watch that ends or breaks goes on from the last version seen; one whose version is too old (410) is listed anew.
Whatever is lost between two of them is found by the version, never by luck.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from typing import Any, Protocol

import structlog

from gradewatch.platforms.kubernetes.api import PAGE, Api, Json
from gradewatch.platforms.kubernetes.faults import LONGEST_WAIT, ApiError, Gone

log = structlog.get_logger(__name__)

LONGEST_WATCH = 300  # seconds after which the server ends a watch by itself; half as much again, at random
QUIET = 90.0  # seconds without an event or a bookmark, which comes every minute, after which a watch is begun anew
FIRST_WAIT, MOST_WAIT = 0.1, 30.0  # seconds before a try again; it doubles, less a random part
BAD_VERSION = (400, 504)  # not one at all; or larger than any the server knows, as after a restore of its database
PATIENCE = 6  # failures in a row after which a version is not believed any more
HEALTHY = 5.0  # seconds a watch must last to count as one that works


class Sink(Protocol):
    """Where the copy is kept. Called in the loop, with raw objects."""

    def replace(self, objects: list[Any]) -> None:
        """All there is: what is not among them is gone."""
        ...

    def reduce(self, raw: Json) -> Any:
        """What is kept of an object, by a pure function: it is called in a thread, page by page, so that a large list
        is never held as a whole."""
        ...

    def put(self, raw: Json) -> None: ...

    def drop(self, raw: Json) -> None: ...


class Reflector:
    """Keeps a sink up to date until it is cancelled. `path` is a collection."""

    def __init__(
        self,
        api: Api,
        path: str,
        params: Mapping[str, str],
        sink: Sink,
        *,
        quiet: float = QUIET,
        rng: random.Random | None = None,
    ) -> None:
        self._api, self._path, self._params, self._sink, self._quiet = api, path, dict(params), sink, quiet
        self._rng = rng or random.Random()
        self._tries = 0
        self._since: float | None = None  # monotonic: since when the copy is not kept up to date; None while it is
        self._told = False
        self.error: ApiError | None = None
        self.listed = False
        self.settled = asyncio.Event()  # set once the first try has come to anything

    @property
    def stale_seconds(self) -> float:
        """For how long the copy may have been behind."""
        return 0.0 if self._since is None else time.monotonic() - self._since

    async def run(self) -> None:
        version = ""
        while True:
            try:
                if not version:
                    version = await self._list()
                version = await self._watch(version)
            except Gone:
                log.info("a watch's version is too old; listing anew", path=self._path)
                version = ""
                await self._wait()
            except ApiError as error:
                self._down(error)
                if error.status in BAD_VERSION or self._tries > PATIENCE:
                    version = ""
                await self._wait(error.retry_after)

    async def _list(self) -> str:
        kept: list[Any] = []
        params = {**self._params, "limit": str(PAGE)}
        while True:
            page = await self._api.page(self._path, params, self._sink.reduce)
            kept += page.get("items") or ()
            meta = page.get("metadata") or {}
            if not meta.get("continue"):
                break
            params["continue"] = str(meta["continue"])
        self._sink.replace(kept)
        self.listed = True
        self._up()
        return str(meta.get("resourceVersion") or "")

    async def _watch(self, version: str) -> str:
        """Follow until the stream ends; returns the version to go on from."""
        seconds = LONGEST_WATCH + self._rng.randrange(LONGEST_WATCH // 2)
        params = {
            **self._params,
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(seconds),
        }
        began, opened = time.monotonic(), False
        try:
            async with self._api.stream(self._path, params, self._quiet) as events:
                opened = True
                self._up()
                async for event in events:
                    version = self._take(event) or version
                    if time.monotonic() - began > HEALTHY:
                        self._tries = 0
        except TimeoutError:
            log.debug("nothing heard on a watch; beginning it anew", path=self._path, seconds=self._quiet)
            if not opened:
                self._down(ApiError(f"Kubernetes did not begin the watch of {self._path}"))
        except Gone:
            raise
        except ApiError as error:
            if error.status:
                raise
            self._down(error)  # it goes on from the last version seen
        if time.monotonic() - began < HEALTHY:
            await self._wait()  # a server that ends each watch at once must not be asked in a storm
        else:
            self._tries = 0
        return version

    def _take(self, event: Json) -> str:
        """Pass on one event; returns its version. Raises Gone, ApiError."""
        kind, raw = event.get("type"), event.get("object")
        if not isinstance(raw, dict):
            return ""
        if kind == "ERROR":
            code, message = raw.get("code"), str(raw.get("message") or "")[:LONGEST_MESSAGE]
            text = f"Kubernetes ended the watch of {self._path}: {message}"
            raise Gone(text, 410) if code == 410 else ApiError(text, int(code or 500))
        if kind in ("ADDED", "MODIFIED"):
            self._sink.put(raw)
        elif kind == "DELETED":
            self._sink.drop(raw)
        return str((raw.get("metadata") or {}).get("resourceVersion") or "")

    async def _wait(self, at_least: float = 0.0) -> None:
        seconds = min(MOST_WAIT, FIRST_WAIT * 2.0**self._tries) * self._rng.uniform(0.5, 1.0)
        self._tries = min(self._tries + 1, 20)
        await asyncio.sleep(min(LONGEST_WAIT, max(seconds, at_least)))

    def _up(self) -> None:
        if self._told:
            log.info("Kubernetes answers again", path=self._path)
        self._since, self.error, self._told = None, None, False
        self.settled.set()

    def _down(self, error: ApiError) -> None:
        if not self._told:
            log.warning("Kubernetes does not answer", path=self._path, error=str(error))
        self._told, self.error = True, error
        if self._since is None:
            self._since = time.monotonic()
        self.settled.set()


LONGEST_MESSAGE = 300
