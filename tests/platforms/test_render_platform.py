"""Render's API: what a service and its deploys are evidence of. aioresponses for shapes, a real server for faults."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from typing import Any

import pytest
from aiohttp import web
from aioresponses import aioresponses
from mocked import mocked_http
from served_faults import served

from gradewatch.errors import Conflict, PlatformError
from gradewatch.model import ExitKind, Sight, Target
from gradewatch.platforms.render import REFRESH, UNDER_WAY, RenderPlatform

KEY = "rnd_S3CRET"
SERVICE = "srv-1"
URL = f"https://api.render.com/v1/services/{SERVICE}"
DEPLOYS = re.compile(re.escape(f"{URL}/deploys") + r"\?limit=\d+")


class Clock:
    """A monotonic clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def service(suspended: str = "not_suspended") -> dict[str, Any]:
    """As GET /v1/services/{id} answers, in part."""
    return {"id": SERVICE, "name": "grader", "type": "background_worker", "suspended": suspended, "suspenders": []}


def deploys(*statuses: str) -> list[dict[str, Any]]:
    """As GET /v1/services/{id}/deploys answers, the newest first."""
    count = len(statuses)
    return [{"cursor": "x", "deploy": {"id": f"dep-{count - n}", "status": s}} for n, s in enumerate(statuses)]


def answers(http: aioresponses, *statuses: str, suspended: str = "not_suspended") -> None:
    http.get(URL, payload=service(suspended))
    http.get(DEPLOYS, payload=deploys(*statuses))


def platform(clock: Clock | None = None, **options: Any) -> RenderPlatform:
    return RenderPlatform([SERVICE], queues=("default",), key=KEY, mono=clock or Clock(), **options)


async def only(of: RenderPlatform) -> Target:
    [target] = await of.targets()
    return target


def asked(http: aioresponses) -> list[tuple[str, str]]:
    return [(method, str(url.path)) for (method, url), calls in http.requests.items() for _ in calls]


# ---------------------------------------------------------------- evidence


@pytest.mark.parametrize(
    "statuses", [("live",), ("live", "deactivated"), ("build_failed", "live"), ("canceled", "live")]
)
async def test_a_live_service_is_one_whose_process_nobody_sees(statuses: Sequence[str]) -> None:
    clock = Clock()
    of = platform(clock)
    clock.now += 100
    with mocked_http() as http:
        answers(http, *statuses)
        target = await only(of)
    assert (target.name, target.queues, target.sight) == (SERVICE, ("default",), Sight.NONE)
    assert (target.running, target.wanted, target.running_seconds, target.no_restart) == (True, True, 100.0, "")
    for calls in http.requests.values():
        assert calls[0].kwargs["headers"]["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("status", UNDER_WAY)
async def test_a_service_in_the_middle_of_a_deploy_is_left_alone(status: str) -> None:
    of = platform()
    with mocked_http() as http:
        answers(http, status, "live")
        target = await only(of)
        assert (target.running, target.wanted) == (True, False)
        answers(http, status, "live")
        with pytest.raises(Conflict, match=status):
            await of.restart(SERVICE, target.incarnation)
    assert "POST" not in {method for method, _ in asked(http)}


async def test_a_suspended_service_is_stopped_on_purpose() -> None:
    of = platform()
    with mocked_http() as http:
        answers(http, "live", suspended="suspended")
        target = await only(of)
        assert (target.running, target.wanted) == (False, False)
        answers(http, "live", suspended="suspended")
        with pytest.raises(Conflict, match="suspended"):
            await of.restart(SERVICE, target.incarnation)


@pytest.mark.parametrize("status", ["build_failed", "update_failed", "pre_deploy_failed", "canceled"])
async def test_a_service_without_a_live_deploy_is_down_and_no_restart_would_help(status: str) -> None:
    with mocked_http() as http:
        answers(http, status, "build_failed", "deactivated")
        target = await only(platform())
    assert (target.running, target.wanted, target.last_exit.kind) == (False, True, ExitKind.GONE)
    assert status in target.problem
    assert "would start nothing" in target.no_restart
    assert "Render's dashboard" in target.fix


async def test_a_service_never_deployed_is_one_that_nobody_sees() -> None:
    with mocked_http() as http:
        answers(http)
        assert (await only(platform())).running


async def test_render_is_asked_now_and_then_and_a_stale_answer_is_not_believed() -> None:
    clock = Clock()
    of = platform(clock)
    with mocked_http() as http:
        answers(http, "live")
        await of.targets()
        clock.now += REFRESH - 1
        await of.targets()
        assert len(asked(http)) == 2
        clock.now += 1
        http.get(URL, status=500)
        with pytest.raises(PlatformError):
            await of.targets()
        http.get(URL, status=500)
        with pytest.raises(PlatformError):
            await of.targets()


# ---------------------------------------------------------------- restart


async def test_a_restart_asks_render_after_a_fresh_look_and_begins_a_new_life() -> None:
    clock = Clock()
    of = platform(clock)
    clock.now += 500
    with mocked_http() as http:
        answers(http, "live")
        old = await only(of)
        answers(http, "live")
        http.post(f"{URL}/restart", status=202)
        new = await of.restart(SERVICE, old.incarnation)
        now = await only(of)
    assert asked(http).count(("POST", f"/v1/services/{SERVICE}/restart")) == 1
    assert now.incarnation == new != old.incarnation
    assert now.running_seconds == 0.0


async def test_a_service_deployed_meanwhile_is_a_conflict() -> None:
    of = platform()
    with mocked_http() as http:
        answers(http, "live")
        old = await only(of)
        answers(http, "live", "deactivated")
        with pytest.raises(Conflict, match="no longer"):
            await of.restart(SERVICE, old.incarnation)
        with pytest.raises(PlatformError, match="no service 'srv-2' here, only: srv-1"):
            await of.restart("srv-2", "")
    assert "POST" not in {method for method, _ in asked(http)}


# ---------------------------------------------------------------- refusals and faults


@pytest.mark.parametrize(
    ("status", "headers", "words"),
    [
        (401, {}, "does not accept RENDER_API_KEY"),
        (403, {}, "may not use srv-1"),
        (404, {}, "has no service srv-1"),
        (429, {"Retry-After": "17"}, "too many requests with this key. Again in 17 s"),
        (429, {"Retry-After": "<b>"}, "too many requests with this key.$"),
        (500, {}, "Render itself is in trouble"),
        (503, {}, "Render itself is in trouble"),
        (301, {"Location": "https://elsewhere.example"}, "answered 301"),
        (406, {}, "answered 406: no"),
    ],
)
async def test_each_refusal_says_what_it_means(status: int, headers: dict[str, str], words: str) -> None:
    with mocked_http() as http:
        http.get(URL, status=status, headers=headers, body="no")
        with pytest.raises(PlatformError, match=words) as told:
            await platform().targets()
    assert KEY not in str(told.value)


async def test_a_refused_restart_begins_no_new_life() -> None:
    of = platform()
    with mocked_http() as http:
        answers(http, "live")
        old = await only(of)
        answers(http, "live")
        http.post(f"{URL}/restart", status=429)
        with pytest.raises(PlatformError, match="too many requests"):
            await of.restart(SERVICE, old.incarnation)
        assert (await only(of)).incarnation == old.incarnation


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([], []),
        ({"suspended": True}, []),
        (service(), {}),
        (service(), [1]),
        (service(), [{"deploy": {"id": "dep-1"}}]),
        (service(), [{"deploy": None}]),
    ],
)
async def test_an_answer_of_another_shape_is_no_evidence(first: Any, second: Any) -> None:
    with mocked_http() as http:
        http.get(URL, payload=first)
        http.get(DEPLOYS, payload=second)
        with pytest.raises(PlatformError, match=r"is no service|is no list of deploys"):
            await platform().targets()


async def test_a_page_where_json_was_expected_is_no_evidence() -> None:
    async with served(lambda r: web.Response(text="<html>Sign in</html>")) as there:
        with pytest.raises(PlatformError, match="not JSON: <html>Sign in</html>"):
            await platform(base=there.url).targets()


async def test_an_api_that_hangs_or_is_cut_off_is_no_evidence() -> None:
    async def hang(request: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    async def cut(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with served(hang) as there:
        began = time.monotonic()
        with pytest.raises(PlatformError, match=r"Render's API did not answer within 0.2 s"):
            await platform(base=there.url, timeout=0.2).targets()
        assert time.monotonic() - began < 5
    async with served(cut) as there:
        with pytest.raises(PlatformError, match="the connection was cut"):
            await platform(base=there.url).targets()


async def test_a_service_name_cannot_lead_elsewhere() -> None:
    async with served(lambda r: web.json_response({}, status=404)) as there:
        of = RenderPlatform(["../owners"], queues=(), key=KEY, base=there.url)
        with pytest.raises(PlatformError, match="has no service"):
            await of.targets()
        assert there.requests[0].raw_path == "/v1/services/..%2Fowners"
