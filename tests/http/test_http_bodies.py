"""Bodies of every wrong shape, and requests no library would send: a 4xx each, never a 500, never a hang."""

from __future__ import annotations

import asyncio
import zlib
from io import BytesIO

import pytest
from served import TOKEN, Client

AUTH = {"Authorization": f"Bearer {TOKEN}"}


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"nonsense",
        b'{"for": NaN}',
        b'{"for": Infinity}',
        b'{"for": 1e999}',
        b'{"for": ' + b"9" * 10_000 + b"}",
        b"\xff\xfe{}",
        b'{"reason": "\xc3("}',
        b'{"reason": "\\u0000"}',
        b'{"reason": "\\ud800"}',
        b"[" * 20_000 + b"]" * 20_000,
        b'{"a":' * 10_000,
        b"null",
        b"\x00",
    ],
)
async def test_a_body_that_is_no_object_is_refused(client: Client, body: bytes) -> None:
    answer = await client.ask("POST", "/api/pause", data=body, headers=AUTH)
    assert (answer.status, answer.json["error"]["code"]) == (400, "invalid_request")
    assert (await client.store.control({})).pause is None


@pytest.mark.parametrize(("path", "limit"), [("/api/pause", 64 * 1024), ("/api/alerts", 1024 * 1024)])
async def test_a_large_body_is_refused(client: Client, path: str, limit: int) -> None:
    answer = await client.ask("POST", path, data=BytesIO(b" " * limit), headers=AUTH)
    assert answer.status in (200, 400)  # as large as may be: read, and judged
    answer = await client.ask("POST", path, data=BytesIO(b" " * (limit + 1)), headers=AUTH)
    assert (answer.status, answer.json["error"]["code"]) == (413, "body_too_large")


async def test_a_compressed_body_is_refused_unread(client: Client) -> None:
    bomb = zlib.compress(b" " * 10_000_000)
    answer = await client.ask("POST", "/api/pause", data=bomb, headers={**AUTH, "Content-Encoding": "deflate"})
    assert (answer.status, answer.json["error"]["code"]) == (415, "unsupported_encoding")


async def test_a_body_that_does_not_come_is_given_up(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradewatch.http.reading.BODY_SECONDS", 0.05)
    head = f"POST /api/pause HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 100\r\n\r\n{{"
    assert (await spoken(client, head.encode())).startswith(b"HTTP/1.1 408 ")


async def spoken(client: Client, sent: bytes) -> bytes:
    """What comes back for raw bytes, until the first answer's head is whole or the server hangs up."""
    host, port = client.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        async with asyncio.timeout(10):
            writer.write(sent)
            return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""
    finally:
        writer.close()


RAW = [
    b"GET\r\n\r\n",
    b"nonsense\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /api/jobs/%f0%28%8c%28 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET http://[::1 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET //// HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /api/jobs?%zz=%zz&limit=%ff HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: \xff\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 20_000 + b"\r\n\r\n",
    b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 1000 + b"\r\n",
    b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: application/openmetrics-text;version=a.b;q=\xff\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\n\r\n",
    b"POST /api/pause HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\r\nContent-Length: 0\r\n\r\n",
    b"POST /api/pause HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer s3cret-token\r\nContent-Length: -1\r\n\r\n",
    b"POST /api/pause HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer s3cret-token\r\nContent-Length: 9\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /api/pause HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer s3cret-token\r\n"
    b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    b"CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /api/events HTTP/1.1\r\nHost: x\r\nLast-Event-ID: \xff\x01\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
]


@pytest.mark.parametrize("sent", RAW)
async def test_raw_nonsense_gets_no_5xx(client: Client, sent: bytes) -> None:
    head = await spoken(client, sent + b"\r\n\r\n")
    assert not head or head[9:10] in b"1234", head
    assert (await client.get("/livez")).status == 200


async def test_hanging_up_in_the_middle_leaves_the_server_well(client: Client) -> None:
    host, port = client.url.removeprefix("http://").split(":")
    for sent in (b"", b"GET /metr", b"POST /api/alerts HTTP/1.1\r\nContent-Length: 50\r\n\r\n{"):
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(sent)
        writer.transport.abort()
    assert (await client.get("/livez")).status == 200
