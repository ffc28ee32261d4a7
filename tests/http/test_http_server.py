"""Ports, connections and goodbyes; the small application of a worker; the shared question."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from served import Client

from gradewatch.errors import GradewatchError, StoreUnavailable
from gradewatch.http import make_worker_app, serve, server
from gradewatch.http.shared import Shared
from gradewatch.metrics.worker import WorkerMetrics


def worker_app(pulse_age: float = 0.0, not_ready: str = "") -> Any:
    return make_worker_app(WorkerMetrics(), pulse_age=lambda: pulse_age, not_ready=lambda: not_ready)


async def status_and_text(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        return response.status, await response.text()


async def test_a_port_in_use_is_said_in_words_with_the_setting() -> None:
    first = await serve(worker_app(), "127.0.0.1", 0)
    try:
        with pytest.raises(GradewatchError, match=rf"port {first.port} is in use .* GRADEWATCH_HTTP__PORT"):
            await serve(worker_app(), "127.0.0.1", first.port)
    finally:
        await first.close()
    again = await serve(worker_app(), "127.0.0.1", first.port)  # free again at once
    await again.close()


@pytest.mark.parametrize(
    ("host", "port", "says"),
    [
        ("192.0.2.1", 0, "no address of this machine"),
        ("x" * 70, 0, "no address of this machine"),
        ("127.0.0.1", 70_000, "no port number"),
    ],
)
async def test_an_address_that_cannot_be_had(host: str, port: int, says: str) -> None:
    with pytest.raises(GradewatchError, match=says):
        await serve(worker_app(), host, port)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost"])
async def test_the_url_can_be_reached(host: str) -> None:
    running = await serve(worker_app(), host, 0)
    try:
        assert (await status_and_text(f"{running.url}/livez"))[0] == 200
    finally:
        await running.close()


async def test_connections_beyond_the_most_are_refused(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 2)
    host, port = client.url.removeprefix("http://").split(":")
    held = [await asyncio.open_connection(host, int(port)) for _ in range(2)]
    async with asyncio.timeout(5):
        reader, writer = await asyncio.open_connection(host, int(port))
        assert await reader.read() == b""
        writer.close()
        for _, one in held:
            one.close()
            await one.wait_closed()
        while True:
            try:
                assert (await client.get("/livez")).status == 200
            except aiohttp.ClientError:
                await asyncio.sleep(0.01)  # the server has not seen them go yet
            else:
                break


async def test_a_worker_serves_health_and_metrics() -> None:
    running = await serve(worker_app(), "127.0.0.1", 0)
    try:
        assert (await status_and_text(f"{running.url}/livez"))[0] == 200
        assert (await status_and_text(f"{running.url}/readyz"))[0] == 200
        status, text = await status_and_text(f"{running.url}/metrics")
        assert status == 200
        assert "gradewatch_worker_up" in {family.name for family in text_string_to_metric_families(text)}
        assert (await status_and_text(f"{running.url}/api/jobs"))[0] == 404
    finally:
        await running.close()


async def test_a_worker_that_is_stuck_or_not_ready_says_so() -> None:
    running = await serve(worker_app(pulse_age=60.0, not_ready="no session"), "127.0.0.1", 0)
    try:
        status, text = await status_and_text(f"{running.url}/livez")
        assert status == 503
        assert "has not ticked for 60 s" in text
        assert await status_and_text(f"{running.url}/readyz") == (503, '{"status":"failing","reason":"no session"}')
    finally:
        await running.close()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_a_shared_answer_is_kept_for_its_time_and_errors_too() -> None:
    asked, clock = 0, Clock()

    async def ask() -> int:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise StoreUnavailable("gone")
        return asked

    shared = Shared(ask, ttl=1.0, deadline=5.0, mono=clock)
    assert await shared.get() == await shared.get() == 1
    clock.now = 1.5
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="gone"):
            await shared.get()
    clock.now = 3.0
    assert await shared.get() == 3
    assert asked == 3


async def test_an_asker_that_leaves_takes_nothing_from_the_others() -> None:
    go = asyncio.Event()

    async def ask() -> str:
        await go.wait()
        return "here"

    shared = Shared(ask, ttl=1.0, deadline=5.0)
    askers = [asyncio.create_task(shared.get()) for _ in range(3)]
    await asyncio.sleep(0)
    askers[0].cancel()
    await asyncio.sleep(0)
    go.set()
    assert await asyncio.gather(*askers[1:]) == ["here", "here"]
