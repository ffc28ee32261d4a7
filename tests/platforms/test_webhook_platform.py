"""The restart webhook, what it is sent and what its answers mean: aioresponses for shapes, a real server for faults."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
import uuid
from typing import Any

import pytest
from aiohttp import web
from mocked import mocked_http
from served_faults import served

from gradewatch.errors import Conflict, PlatformError
from gradewatch.model import Action, ActionKind, Code, Sight
from gradewatch.platforms.webhook import WebhookPlatform

SECRET = "0123456789abcdef"
URL = "https://ops.example/hooks/T0P-S3CRET"
REASON = "worker_not_running: w1 cannot be looked into by its platform, but it has not beaten for 61 s"


def platform(url: str = URL, **options: Any) -> WebhookPlatform:
    return WebhookPlatform(
        url, options.pop("names", ["w1", "w2"]), queues=("grading", "reports"), secret=SECRET, **options
    )


async def restart(of: WebhookPlatform, name: str = "w1") -> str:
    target = {t.name: t for t in await of.targets()}[name]
    code, message = REASON.split(": ", 1)
    action = Action(ActionKind.RESTART, "grading", Code(code), message, target=name, incarnation=target.incarnation)
    return await of.restart_for(action)


# ---------------------------------------------------------------- shapes


async def test_nobody_is_asked_what_runs() -> None:
    with mocked_http() as http:
        first, second = await platform().targets()
        assert (first.name, second.name, first.sight, first.running) == ("w1", "w2", Sight.NONE, True)
        assert first.queues == ("grading", "reports")
        assert http.requests == {}


async def test_a_restart_tells_who_which_life_where_and_why_and_signs_it() -> None:
    of = platform()
    old = (await of.targets())[0].incarnation
    with mocked_http() as http:
        http.post(URL, status=204)
        new = await restart(of)
    [[call]] = http.requests.values()
    body, headers = call.kwargs["data"], call.kwargs["headers"]
    assert json.loads(body) == {"target": "w1", "incarnation": old, "queue": "grading", "reason": REASON}
    assert headers["Content-Type"] == "application/json"
    text = headers["X-Gradewatch-Timestamp"].encode() + b"." + body
    assert headers["X-Gradewatch-Signature"] == "sha256=" + hmac.new(SECRET.encode(), text, hashlib.sha256).hexdigest()
    assert abs(int(headers["X-Gradewatch-Timestamp"]) - time.time()) < 60
    assert uuid.UUID(headers["Idempotency-Key"])
    now, other = await of.targets()
    assert now.incarnation == new != old
    assert now.running_seconds < other.running_seconds


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_any_2xx_is_done(status: int) -> None:
    with mocked_http() as http:
        http.post(URL, status=status)
        assert await restart(platform())


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (301, "redirects .301., which is not followed: set platform.url"),
        (401, "does not accept the signature: is GRADEWATCH_WEBHOOK_SECRET"),
        (403, "forbids this"),
        (404, "nothing at that path: look at platform.url"),
        (418, "answered 418, it refused: short and stout"),
        (429, "asked too often"),
        (500, "answered 500, it failed: short and stout"),
    ],
)
async def test_another_answer_says_what_it_means(status: int, words: str) -> None:
    of = platform()
    before = await of.targets()
    with mocked_http() as http:
        http.post(URL, status=status, body="short and\nstout", headers={"Location": "https://elsewhere.example/"})
        with pytest.raises(PlatformError, match=words) as told:
            await restart(of)
    assert SECRET not in str(told.value)
    assert "T0P-S3CRET" not in str(told.value), "a webhook's address may be a secret by itself"
    assert len(http.requests) == 1
    assert [t.incarnation for t in await of.targets()] == [t.incarnation for t in before]


async def test_409_is_a_conflict() -> None:
    with mocked_http() as http:
        http.post(URL, status=409)
        with pytest.raises(Conflict, match="no longer that incarnation"):
            await restart(platform())


async def test_an_earlier_life_and_an_unknown_target_are_not_sent() -> None:
    of = platform()
    with mocked_http() as http:
        with pytest.raises(Conflict, match="restarted meanwhile"):
            await of.restart("w1", "an earlier life")
        with pytest.raises(PlatformError, match="no target 'w9' here, only: w1, w2"):
            await of.restart("w9", "")
        assert http.requests == {}


# ---------------------------------------------------------------- faults


async def test_a_redirect_is_not_followed() -> None:
    async with served(lambda r: web.Response(status=307, headers={"Location": "/stolen"})) as there:
        with pytest.raises(PlatformError, match="redirects"):
            await restart(platform(there.url))
        assert [r.path for r in there.requests] == ["/"]


@pytest.mark.parametrize("first", ["cut", 502, 503, 504])
async def test_a_try_that_may_not_have_arrived_is_made_once_more_under_the_same_key(first: str | int) -> None:
    async def answer(request: web.Request) -> web.Response:
        if len(there.requests) > 1:
            return web.Response(status=200)
        if first == "cut":
            assert request.transport is not None
            request.transport.abort()
        return web.Response(status=first if isinstance(first, int) else 200)

    async with served(answer) as there:
        await restart(platform(there.url))
        assert len(there.requests) == 2
        assert len({r.headers["Idempotency-Key"] for r in there.requests}) == 1


async def test_a_webhook_that_stays_in_trouble_is_asked_twice_and_no_more() -> None:
    async with served(lambda r: web.Response(status=503, text="down")) as there:
        with pytest.raises(PlatformError, match="answered 503, it failed: down"):
            await restart(platform(there.url))
        assert len(there.requests) == 2


async def test_a_webhook_that_hangs_is_left_at_the_deadline() -> None:
    async def answer(request: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    async with served(answer) as there:
        began = time.monotonic()
        with pytest.raises(PlatformError, match=r"The restart webhook did not answer within"):
            await restart(platform(there.url, timeout=0.4))
        assert time.monotonic() - began < 5


async def test_one_that_is_not_there_and_one_that_talks_for_ever() -> None:
    with pytest.raises(PlatformError, match=r"cannot be reached: Connection refused$"):
        await restart(platform("http://127.0.0.1:1/x"))

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(100):
            await response.write(b"x" * 100_000)
        return response

    async with served(answer) as there:
        with pytest.raises(PlatformError, match="more than 4 MB"):
            await restart(platform(there.url))


async def test_each_restart_has_a_key_of_its_own() -> None:
    async with served(lambda r: web.Response()) as there:
        of = platform(there.url)
        await restart(of)
        await restart(of)
        assert len({r.headers["Idempotency-Key"] for r in there.requests}) == 2
