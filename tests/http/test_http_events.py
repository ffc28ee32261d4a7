"""Server-sent events: each cycle reaches each reader, a slow one loses the oldest and is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from builders import finding, report, result
from served import Client, started

from gradewatch.board import MAX_BACKLOG, MAX_SUBSCRIBERS
from gradewatch.config import Settings
from gradewatch.http import events


class Stream:
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def block(self) -> dict[str, str]:
        """The fields of the next block; a comment has the empty name."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(5):
            while line := (await self.response.content.readline()).decode().rstrip("\n"):
                name, _, value = line.partition(": ")
                fields[name.removesuffix(":")] = value
        return fields

    async def event(self) -> tuple[str, str, Any]:
        block = await self.block()
        return block.get("id", ""), block["event"], json.loads(block["data"])


@asynccontextmanager
async def stream(client: Client, **headers: str) -> AsyncIterator[Stream]:
    async with client.http.get(client.url + events.PATH, headers=headers) as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        opened = Stream(response)
        assert await opened.block() == {"retry": "3000"}
        yield opened


async def test_a_reader_gets_the_latest_at_once_and_then_each(client: Client) -> None:
    client.publish(report(number=6, findings=[finding()], results=(result(),)))
    async with stream(client) as opened:
        event_id, kind, data = await opened.event()
        assert (event_id, kind, data["cycle"]) == ("6-sweep-1", "cycle", 6)
        assert data["findings"][0]["code"] == "worker_not_running"
        assert data["queues"] == {"default": {"pending": 3, "running": 2}}
        assert data["workers"] == {"alive": 1}
        assert data["results"][0]["outcome"] == "applied"
        client.publish(report(number=7))
        assert (await opened.event())[2]["cycle"] == 7


@pytest.mark.parametrize(("last", "first"), [("6-sweep-1", 7), ("5-sweep-1", 6), ("nonsense", 6), ("", 6), ("6", 6)])
async def test_what_a_reader_has_seen_is_not_sent_again(client: Client, last: str, first: int) -> None:
    client.publish(report(number=6))
    async with stream(client, **{"Last-Event-ID": last}) as opened:
        client.publish(report(number=7))
        assert (await opened.event())[2]["cycle"] == first


async def test_silence_is_filled_with_comments(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "HEARTBEAT", 0.02)
    async with stream(client) as opened:
        assert await opened.block() == {"": "still here"}
        client.publish(report(number=1))
        while "event" not in (block := await opened.block()):
            assert block == {"": "still here"}


async def test_a_slow_reader_is_told_what_it_lost(client: Client) -> None:
    """The reports come in one turn of the loop, before the reader's handler can send any."""
    async with stream(client) as opened:
        for number in range(1, MAX_BACKLOG + 5):
            client.board.publish(report(number=number))
        assert (await opened.event())[1:] == ("lost", {"count": 4})
        assert (await opened.event())[2]["cycle"] == 5


async def test_a_reader_that_leaves_makes_room(client: Client) -> None:
    async with stream(client):
        assert client.board.subscribers == 1
    async with asyncio.timeout(5):
        while client.board.subscribers:
            client.publish()  # the first write after the goodbye finds it
            await asyncio.sleep(0.01)


async def test_a_reader_that_leaves_is_no_error(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    """A tab was closed: nobody is to be told, and no traceback is worth a line."""
    async with stream(client):
        pass
    async with asyncio.timeout(5):
        while client.board.subscribers:
            client.publish()
            await asyncio.sleep(0.01)
    assert [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []


async def test_where_there_is_no_room_the_place_of_one_who_left_is_given_away(client: Client) -> None:
    """Nothing is written meanwhile, so nobody else would notice that it left."""
    taken = [client.board.subscribe() for _ in range(MAX_SUBSCRIBERS - 1)]
    async with stream(client):
        assert (await client.get(events.PATH)).status == 503
    async with asyncio.timeout(5):
        while (response := await client.http.get(client.url + events.PATH)).status != 200:
            await asyncio.sleep(0.01)
    assert client.board.subscribers == MAX_SUBSCRIBERS
    response.close()
    assert len(taken) == MAX_SUBSCRIBERS - 1


async def test_a_crowd_of_findings_is_told_in_part(client: Client) -> None:
    client.publish(report(findings=[finding(subject=str(n)) for n in range(300)]))
    async with stream(client) as opened:
        _, _, data = await opened.event()
        assert (len(data["findings"]), data["findings_total"]) == (100, 300)


async def test_a_report_is_encoded_once_for_all_readers(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[int] = []
    wire_cycle = events.wire.cycle
    monkeypatch.setattr(events.wire, "cycle", lambda one: encoded.append(one.number) or wire_cycle(one))
    async with stream(client) as first, stream(client) as second:
        for number in (1, 2):
            client.publish(report(number=number))
            assert (await first.event())[2]["cycle"] == (await second.event())[2]["cycle"] == number
    assert encoded == [1, 2]


async def test_a_reader_that_does_not_read_is_given_up(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "PATIENCE", 0.05)
    host, port = client.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /api/events HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readuntil(b"retry")
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    many = report(findings=[finding(subject="x" * 1000) for _ in range(500)])
    async with asyncio.timeout(20):
        while client.board.subscribers:
            client.board.publish(many)
            await asyncio.sleep(0.005)
    writer.transport.abort()
    assert (await client.get("/livez")).status == 200


async def test_there_is_a_most_of_readers(client: Client) -> None:
    taken = [client.board.subscribe() for _ in range(MAX_SUBSCRIBERS)]
    answer = await client.get(events.PATH)
    assert (answer.status, answer.json["error"]["code"]) == (503, "too_many_subscribers")
    taken.pop().close()
    async with stream(client):
        assert client.board.subscribers == MAX_SUBSCRIBERS


async def test_closing_the_server_ends_the_streams_at_once(store: Any, settings: Settings) -> None:
    serving = started(store, settings)
    client = await anext(serving)
    response = await client.http.get(client.url + events.PATH)
    began = asyncio.get_running_loop().time()
    client.board.close_subscriptions()
    assert b"retry" in await asyncio.wait_for(response.read(), 5)
    await serving.aclose()
    assert asyncio.get_running_loop().time() - began < 3
