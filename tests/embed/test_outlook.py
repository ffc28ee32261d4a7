"""What one process shows: one question for many askers, and an answer even where the store gives none."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator

import pytest
from embed_kit import Place

from gradewatch.config import Settings, StoreSettings
from gradewatch.embed.outlook import Outlook
from gradewatch.metrics.worker import WorkerMetrics
from gradewatch.model import CycleReport, StoreFacts


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def outlook(place: Place, clock: Clock) -> AsyncIterator[Outlook]:
    by = Settings(store=StoreSettings(f"sqlite:///{place.database}", 0.2))
    made = Outlook(by, {}, mono=clock)
    yield made
    await made.close()


def counted(outlook: Outlook) -> list[int]:
    """The looks that are taken from now on."""
    looks: list[int] = []
    look = outlook._looker.look

    async def noted() -> CycleReport:
        looks.append(1)
        return await look()

    outlook._look._ask = noted
    return looks


async def test_many_askers_cost_one_look_a_second(outlook: Outlook, clock: Clock) -> None:
    looks = counted(outlook)
    for _ in range(3):
        await asyncio.gather(*(outlook.answer("/api/worker_status") for _ in range(20)))
        await asyncio.gather(*(outlook.answer("/metrics") for _ in range(20)))
    assert len(looks) == 1
    clock.now += 1.1
    await outlook.answer("/metrics")
    await outlook.answer("/api/worker_status")
    assert len(looks) == 2


async def test_a_store_that_hangs_is_told_within_its_deadlines(outlook: Outlook) -> None:
    async def never() -> CycleReport:
        await asyncio.Event().wait()
        raise AssertionError

    async def unready() -> StoreFacts:
        await asyncio.Event().wait()
        raise AssertionError

    outlook._look._ask, outlook._ready._ask = never, unready
    began = time.monotonic()
    status = await outlook.answer("/api/worker_status")
    told = json.loads(status.body)
    assert (status.status, told["worker_running"]) == (503, False)
    assert "did not answer in time" in told["error"]
    metrics = await outlook.answer("/metrics")
    assert b'gradewatch_store_up{store="sqlite"} 0.0' in metrics.body
    ready = await outlook.answer("/readyz")
    assert (ready.status, json.loads(ready.body)["error"]["code"]) == (503, "store_unreachable")
    assert ready.headers["Retry-After"]
    assert time.monotonic() - began < 15
    assert (await outlook.answer("/livez")).status == 200


async def test_livez_fails_where_the_loop_has_not_ticked(outlook: Outlook, clock: Clock) -> None:
    clock.now += 31
    answer = await outlook.answer("/livez")
    assert (answer.status, "31 s" in answer.body.decode()) == (503, True)
    outlook.tick()
    assert (await outlook.answer("/livez")).status == 200


async def test_openmetrics_by_negotiation_and_a_worker_of_its_own(place: Place) -> None:
    own = WorkerMetrics(providers=["groq"])
    own.up(True)
    own.paper("graded")
    made = Outlook(Settings(store=StoreSettings(f"sqlite:///{place.database}")), {}, own=lambda: own)
    answer = await made.answer("/metrics", "application/openmetrics-text; version=1.0.0")
    await made.close()
    text = answer.body.decode()
    assert answer.content_type.startswith("application/openmetrics-text")
    assert text.endswith("# EOF\n")
    assert "gradewatch_worker_up 1.0" in text
    assert 'gradewatch_provider_requests_total{outcome="ok",provider="groq"} 0.0' in text
    assert 'gradewatch_papers_graded_total{outcome="graded"} 0.0' in text, "of the store, not of this process"
    assert text.count('gradewatch_papers_graded_total{outcome="graded"}') == 1
