"""What the staying commands are made of; the commands themselves are shown in tests/acceptance."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace

import pytest
from cli_kit import Place
from structlog.testing import capture_logs

from gradewatch.cli import signals
from gradewatch.cli.embedded import prepare_store
from gradewatch.cli.signals import cut_short, serve
from gradewatch.config import load
from gradewatch.errors import SchemaMismatch, StoreUnavailable


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_the_first_signal_stops_and_the_second_hurries(number: signal.Signals, code: int) -> None:
    seen: list[str] = []

    async def service(stop: asyncio.Event, hurry: asyncio.Event) -> None:
        os.kill(os.getpid(), number)
        await asyncio.wait_for(stop.wait(), 5)
        seen.append("stopping" if not hurry.is_set() else "too early")
        os.kill(os.getpid(), number)
        await asyncio.wait_for(hurry.wait(), 5)
        seen.append("hurrying")

    assert serve(service) == code
    assert seen == ["stopping", "hurrying"]


def test_a_service_that_ends_by_itself_ends_the_command() -> None:
    async def service(stop: asyncio.Event, hurry: asyncio.Event) -> None:
        return None

    assert serve(service) == 0


async def test_cut_short_cancels_and_lets_clean_up() -> None:
    cleaned, hurry = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    hurry.set()
    await asyncio.wait_for(cut_short(slow(), hurry), 5)
    assert cleaned.is_set()


async def test_cut_short_waits_for_no_clean_up_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "CLEAN_UP", 0.01)
    steps: list[str] = []

    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            try:
                await asyncio.Event().wait()
            finally:
                steps.append("given up")

    hurry = asyncio.Event()
    hurry.set()
    await asyncio.wait_for(cut_short(stubborn(), hurry), 5)
    assert steps == ["given up"]


async def test_cut_short_passes_a_failure_on() -> None:
    async def failing() -> None:
        raise StoreUnavailable("away")

    with pytest.raises(StoreUnavailable):
        await cut_short(failing(), asyncio.Event())


async def test_the_embedded_store_is_made_once_and_told(place: Place) -> None:
    settings = load(None, {}, cwd=place.folder).settings
    with capture_logs() as logs:
        assert await prepare_store(settings) == [
            "001_initial",
            "002_providers",
            "003_budget",
            "004_row_notes",
            "005_paper_tokens",
        ]
        assert await prepare_store(settings) == []
    assert [line["event"] for line in logs] == ["store prepared"]


async def test_a_store_that_is_not_embedded_is_left_to_its_administrator(place: Place) -> None:
    settings = load(None, {}, cwd=place.folder).settings
    server = replace(settings, store=replace(settings.store, url="postgresql://db/x"))
    assert await prepare_store(server) == []


async def test_a_file_of_somebody_else_is_refused_and_untouched(place: Place) -> None:
    place.database.write_bytes(b"a letter to my aunt\n" * 100)
    with pytest.raises(SchemaMismatch, match="not an SQLite database"):
        await prepare_store(load(None, {}, cwd=place.folder).settings)
    assert place.database.read_bytes() == b"a letter to my aunt\n" * 100


async def test_a_store_that_is_merely_away_is_left_for_the_service_to_meet(place: Place) -> None:
    place.database.mkdir()
    assert await prepare_store(load(None, {}, cwd=place.folder).settings) == []
