"""One worker kept alive: its lives, its end, and the seat it needs; in this process, over a real store."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from embed_kit import Place, until
from structlog.testing import capture_logs

from gradewatch.config import EmbedSettings, Settings, StoreSettings, Timeouts, WorkerSettings
from gradewatch.embed.inside import inside, plan
from gradewatch.embed.seat import LeasedSeat, OwnSeat, Seat, lease_name
from gradewatch.embed.supervisor import Supervisor
from gradewatch.embed.work import CoroutineWork, GradingWork, arguments
from gradewatch.errors import ConfigError
from gradewatch.metrics.worker import WorkerMetrics

TTL = 0.9


def settings(place: Place) -> Settings:
    return Settings(
        store=StoreSettings(f"sqlite:///{place.database}", 2.0),
        timeouts=Timeouts(heartbeat=1.0),
        embed=EmbedSettings(lease=TTL),
    )


@asynccontextmanager
async def supervised(
    place: Place, worker: Callable[..., Awaitable[object]], seat: Seat | None = None, drain: float = 1.0
) -> AsyncIterator[tuple[Supervisor, asyncio.Event, asyncio.Task[None]]]:
    """A supervisor that runs, and its stop; stopped at the end, within the drain and little more."""
    work = CoroutineWork(settings(place), worker, "mine", "default", drain, WorkerMetrics())
    supervisor, stop = Supervisor(work, seat or OwnSeat(), rng=random.Random(3)), asyncio.Event()
    running = asyncio.create_task(supervisor.run(stop))
    try:
        yield supervisor, stop, running
    finally:
        stop.set()
        await asyncio.wait_for(running, drain + 8)


def events(logs: list[dict[str, object]], event: str) -> list[dict[str, object]]:
    return [line for line in logs if line["event"] == event]


async def reasons(place: Place) -> list[str]:
    return [session.end_reason for session in await place.sessions()]


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("raise", "ZeroDivisionError at test_supervisor.py"),
        ("return", "ReturnedUnasked at work.py"),
        ("exit", "RuntimeError at work.py"),
        ("cancel", "ReturnedUnasked at work.py"),
    ],
)
async def test_however_it_ends_unasked_it_is_told_and_started_again(place: Place, how: str, words: str) -> None:
    lives = 0

    async def worker(stop: asyncio.Event) -> None:
        nonlocal lives
        lives += 1
        if lives > 1:
            await stop.wait()
        elif how == "raise":
            raise ZeroDivisionError("with a secret")
        elif how == "exit":
            sys.exit(3)
        elif how == "cancel":
            raise asyncio.CancelledError

    with capture_logs() as logs:
        async with supervised(place, worker):
            await until(lambda: lives == 2, "a second life")
            await place.beating()
    [crash] = events(logs, "embedded worker crashed")
    assert (crash["worker"], crash["in_a_row"]) == ("mine", 1)
    assert crash["exc_info"], "with its traceback"
    assert 0.2 <= float(str(crash["restart_in"])) <= 1.0
    first, second = await reasons(place)
    assert first.startswith(f"crashed: {words}")
    assert "secret" not in first
    assert second == "drained"


async def test_the_pauses_between_crashes_grow(place: Place) -> None:
    async def hopeless() -> None:
        raise ValueError

    with capture_logs() as logs:
        async with supervised(place, hopeless):
            await until(lambda: len(events(logs, "embedded worker crashed")) == 4, "four crashes")
    assert [line["in_a_row"] for line in events(logs, "embedded worker crashed")] == [1, 2, 3, 4]


async def test_one_that_takes_no_stop_is_cancelled_at_once(place: Place) -> None:
    left = asyncio.Event()

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            left.set()

    async with supervised(place, endless, drain=30.0) as (_, stop, running):
        await place.beating()
        stop.set()
        await asyncio.wait_for(running, 5)
    assert left.is_set()


async def test_one_that_will_not_be_cancelled_is_given_up_in_time(place: Place) -> None:
    release = asyncio.Event()

    async def stubborn(stop: asyncio.Event) -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    with capture_logs() as logs:
        async with supervised(place, stubborn, drain=0.2) as (_, stop, running):
            await place.beating()
            began = time.monotonic()
            stop.set()
            await asyncio.wait_for(running, 12)
            assert time.monotonic() - began < 8
            release.set()
    assert events(logs, "embedded worker does not end")


# ---------------------------------------------------------------- seats


async def test_a_worker_whose_lease_is_taken_stops_before_the_next_begins(place: Place) -> None:
    inside_of, most = 0, 0

    async def alone(stop: asyncio.Event) -> None:
        nonlocal inside_of, most
        inside_of += 1
        most = max(most, inside_of)
        try:
            await stop.wait()
            await asyncio.sleep(0.05)
        finally:
            inside_of -= 1

    async with (
        supervised(place, alone, LeasedSeat(place.store, "embed:x", TTL)) as (first, stop, _),
        supervised(place, alone, LeasedSeat(place.store, "embed:x", TTL)) as (second, _, _),
    ):
        await until(lambda: first.running or second.running, "one of them runs")
        await asyncio.sleep(2 * TTL)  # the lease is renewed, and the other stands by
        assert first.running is not second.running
        if not first.running:
            first = second
        else:
            stop.set()
            await until(lambda: second.running, "the other takes over when the first leaves")
    assert most == 1


async def test_a_worker_that_cannot_renew_is_cut_before_its_lease_ends(place: Place) -> None:
    began, ended, stopped = asyncio.Event(), asyncio.Event(), False

    async def fenced(stop: asyncio.Event) -> None:
        began.set()
        try:
            await stop.wait()
            await asyncio.sleep(0.0 if stopped else 30.0)  # an orderly end would take its time
        finally:
            ended.set()

    with capture_logs() as logs:
        async with supervised(place, fenced, LeasedSeat(place.store, "embed:x", TTL), drain=30.0):
            await began.wait()
            away = place.database.rename(place.folder / "away.db")
            at = time.monotonic()
            await asyncio.wait_for(ended.wait(), 5)
            assert time.monotonic() - at < TTL + 0.3, "by its own clock, whatever the store does"
            began.clear()
            away.rename(place.database)
            await asyncio.wait_for(began.wait(), 20)
            stopped = True
    assert events(logs, "embedded worker stops: its lease is lost")


def test_leases_are_named_for_the_pod_or_for_all() -> None:
    import socket

    assert lease_name("pod", "tasks") == f"embed:tasks@{socket.gethostname()}"
    assert lease_name("deployment", "tasks") == "embed:tasks"


# ---------------------------------------------------------------- what is wrong is told before it begins


def test_what_a_worker_takes() -> None:
    async def none() -> None: ...
    async def one(stop: asyncio.Event) -> None: ...
    async def two(stop: asyncio.Event, beat: object, more: int = 1) -> None: ...
    async def three(a: int, b: int, c: int) -> None: ...

    assert [arguments(worker) for worker in (none, one, two)] == [0, 1, 2]
    with pytest.raises(ConfigError, match="needs 3 arguments"):
        arguments(three)
    with pytest.raises(ConfigError, match="coroutine function"):
        arguments(lambda: None)  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [({"scope": "cluster"}, "scope"), ({"queue": "nowhere"}, "not watched"), ({"worker": "grader"}, "grading")],
)
def test_a_wrong_plan_is_refused(place: Place, monkeypatch: pytest.MonkeyPatch, wrong: dict, words: str) -> None:
    monkeypatch.chdir(place.folder)
    with pytest.raises(ConfigError, match=words):
        plan(**({"worker": "grading"} | wrong))


def test_a_grading_worker_without_a_queue_is_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place.folder)
    (place.folder / "gradewatch.toml").write_text("[queues.default]\npaused = true\n")
    with pytest.raises(ConfigError, match="no queue to work"):
        plan("grading")
    assert plan(None).worker is None


async def test_a_grading_worker_that_cannot_begin_is_on_record(place: Place) -> None:
    """Its package is missing: no session of its own could tell."""
    by = Settings(
        store=StoreSettings(f"sqlite:///{place.database}", 2.0), worker=WorkerSettings(ocr=("nowhere",), slots=1)
    )

    class Broken(dict):  # type: ignore[type-arg]
        def get(self, *args: object) -> str:
            raise ConfigError(["the settings name groq, and its package is missing"])

    work = GradingWork(by, "grading-host", Broken(), WorkerMetrics())
    from gradewatch.embed.work import Ending

    with pytest.raises(ConfigError):
        await work.live(Ending())
    [reason] = await reasons(place)
    assert reason.startswith("crashed: ConfigError at ")
    assert reason.endswith("the settings name groq, and its package is missing")


async def test_inside_without_a_store_the_application_starts(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place.folder)
    monkeypatch.setenv("GRADEWATCH_STORE__URL", "sqlite:////no/such/folder/jobs.db")
    began = time.monotonic()
    async with inside(plan("grading"), {}) as outlook:
        assert (await outlook.answer("/livez")).status == 200
        assert (await outlook.answer("/readyz")).status == 503
        assert (await outlook.answer("/elsewhere")).status == 404
    assert time.monotonic() - began < 8
