"""Anything at all, over a real connection: no 500, and always JSON that the document knows."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from served import TOKEN, Client, started
from yarl import URL

from gradewatch.config import HttpSettings, Settings
from gradewatch.http.openapi import DOCUMENT
from gradewatch.stores.sqlite import SqliteStore

METHODS = st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "PROPFIND"])
KNOWN = [path for path in DOCUMENT["paths"] if path != "/api/events"]
ODD_BYTES = st.binary(max_size=12).map(lambda raw: "".join(f"%{byte:02x}" for byte in raw))
ODD_TEXT = st.one_of(
    ODD_BYTES, st.sampled_from(["%00", "%zz", "..", "%2e%2e", "a" * 3000, "%0d%0a", "☃", "-1", "1e999"])
)
NAMES = ["limit", "match", "before", "queue", "status", "sweep", "subject", "x"]
FIELDS = ["for", "reason", "sweep", "queue", "slots", "busy", "version", "alerts", "status", "labels"]
NUMBERS = st.one_of(st.integers(), st.floats(), st.sampled_from([10**400, -1, 2**63, 2**64]))
TEXTS = st.one_of(
    st.text(max_size=20), st.sampled_from(["30m", "4", "firing", "\x00", "\ud800", "x" * 1000, "default"])
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.one_of(st.sampled_from(FIELDS), TEXTS), inner, max_size=4)
    ),
    max_leaves=8,
)
BODIES = st.one_of(st.binary(max_size=40), VALUES.map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass")))
HEADER_TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=30)
HEADERS = st.dictionaries(
    st.sampled_from(["Accept", "Last-Event-ID", "Content-Type", "X-Odd", "If-None-Match", "Range"]),
    HEADER_TEXT,
    max_size=3,
)


@st.composite
def targets(draw: st.DrawFn) -> str:
    """A path, most often one that exists with odd ids and queries, already percent-encoded or wrongly so."""
    path = draw(st.sampled_from(KNOWN)) if draw(st.integers(0, 4)) else "/" + draw(ODD_TEXT)
    for name in ("{id}", "{worker}", "{digest}", "{name}"):
        path = path.replace(name, draw(ODD_TEXT) or "w1")
    query = "&".join(f"{draw(st.sampled_from(NAMES))}={draw(ODD_TEXT)}" for _ in range(draw(st.integers(0, 3))))
    return f"{path}?{query}" if query else path


class Loop:
    """One server for all examples: hypothesis calls a plain function, the server lives on this loop between calls."""

    def __init__(self, folder: Path) -> None:
        self.runner = asyncio.Runner()
        self.parts = self.runner.run(self._start(folder))

    async def _start(self, folder: Path) -> tuple[Any, Any, Client]:
        store = SqliteStore(folder / "fuzz.db")
        await store.migrate()
        await store.open()
        serving = started(store, Settings(http=HttpSettings(token=TOKEN)))
        client = await anext(serving)
        client.publish()
        return store, serving, client

    def ask(self, method: str, target: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, str, bytes]:
        return self.runner.run(self._ask(method, target, body, headers))

    async def _ask(
        self, method: str, target: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, str, bytes]:
        client = self.parts[2]
        client.board.tick()
        client.board.published_mono = client.board.mono()  # stays healthy however long this takes: 503 is a fault too
        url = URL(client.url + target, encoded=True)
        headers = {"Authorization": f"Bearer {TOKEN}", **headers}
        try:
            async with client.http.request(method, url, data=body, headers=headers) as response:
                return response.status, response.content_type, await response.read()
        except (aiohttp.ClientError, ValueError):
            # Not a message the client's own library would send or read; test_http_bodies speaks such ones raw.
            return 0, "", b""

    def close(self) -> None:
        async def stop() -> None:
            store, serving, _ = self.parts
            await serving.aclose()
            await store.close()

        self.runner.run(stop())
        self.runner.close()


def test_no_request_of_any_shape_is_a_500(tmp_path: Path) -> None:
    loop = Loop(tmp_path)
    answered = 0

    @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(METHODS, targets(), st.one_of(st.none(), BODIES), HEADERS)
    def fuzz(method: str, target: str, body: bytes | None, headers: dict[str, str]) -> None:
        nonlocal answered
        status, media, text = loop.ask(method, target, body, headers)
        answered += bool(status)
        assert status < 500, (status, text)
        if status >= 400 and method != "HEAD" and media == "application/json":
            assert set(json.loads(text)["error"]) <= {"code", "message", "fix"}

    try:
        fuzz()
    finally:
        loop.close()
    assert answered > 100
