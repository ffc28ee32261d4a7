"""A probe's call as a reading: whatever goes wrong is Unknown, with the finding it amounts to."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs
from watch_kit import Time, taken_away

from gradewatch.errors import (
    AccessDenied,
    Conflict,
    GradewatchError,
    PlatformError,
    SchemaMismatch,
    StoreError,
    StoreUnavailable,
)
from gradewatch.model import Code, Known, Unknown
from gradewatch.probes.reading import take
from gradewatch.stores.sqlite import SqliteStore


async def test_an_answer_is_known_from_when_it_came(time: Time) -> None:
    async def answer() -> int:
        time.go(3)
        return 42

    assert await take("queue", answer, time, 5.0) == Known(42, 1003.0)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StoreUnavailable("it is away"), Code.STORE_UNREACHABLE),
        (StoreError("something"), Code.STORE_UNREACHABLE),
        (Conflict("moved"), Code.STORE_UNREACHABLE),
        (AccessDenied("no"), Code.STORE_ACCESS_DENIED),
        (AccessDenied("no", fix="ask for it"), Code.STORE_ACCESS_DENIED),
        (SchemaMismatch("too old"), Code.STORE_SCHEMA_MISMATCH),
        (PlatformError("it refused"), None),
        (GradewatchError("else"), None),
    ],
)
async def test_each_error_of_ours_is_unknown_with_its_code(
    time: Time, error: GradewatchError, code: Code | None
) -> None:
    async def fail() -> int:
        raise error

    with capture_logs() as logs:
        assert await take("queue", fail, time, 5.0) == Unknown(str(error), 1000.0, code, getattr(error, "fix", ""))
    assert logs == [], "it is a finding, and told as one"


@pytest.mark.looptime
async def test_no_answer_within_the_deadline_is_unknown(time: Time) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    reading = await take("queue", asyncio.Event().wait, time, 5.0)
    assert reading == Unknown("no answer within 5 s", 1000.0, Code.STORE_UNREACHABLE)
    assert loop.time() - began == 5.0


async def test_a_fault_of_ours_is_logged_and_unknown_and_tells_no_secret(time: Time) -> None:
    async def broken() -> int:
        return {}["sk-secret"]

    with capture_logs() as logs:
        assert await take("queue", broken, time, 5.0) == Unknown("the probe failed: KeyError", 1000.0)
    assert [(line["event"], line["probe"], line["log_level"]) for line in logs] == [
        ("probe failed unexpectedly", "queue", "error")
    ]


async def test_a_cancelled_probe_is_cancelled(time: Time) -> None:
    task = asyncio.create_task(take("queue", asyncio.Event().wait, time, 60.0))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_real_store_that_goes_away(store: SqliteStore, path, time: Time) -> None:
    async def check() -> str:
        return (await store.check(["default"])).kind

    assert await take("store", check, time, 5.0) == Known("sqlite", 1000.0)
    with taken_away(path):
        reading = await take("store", check, time, 5.0)
    assert isinstance(reading, Unknown)
    assert reading.code is Code.STORE_UNREACHABLE
    assert "removed" in reading.reason
    assert await take("store", check, time, 5.0) == Known("sqlite", 1000.0)
