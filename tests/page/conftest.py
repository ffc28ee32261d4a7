"""One Chromium for all tests of the page; each test has a fresh context of it, and everything it complains of."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from page_kit import SHOTS, Visitor, Watch, chromium, watching
from playwright.async_api import Browser, async_playwright

from gradewatch.stores.sqlite import SqliteStore


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The browser lives on one event loop, so every test here that awaits shares it, in one process."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and inspect.iscoroutinefunction(getattr(item, "obj", None)):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
            item.add_marker(pytest.mark.xdist_group("browser"))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    SHOTS.mkdir(parents=True, exist_ok=True)
    async with async_playwright() as playwright, chromium(playwright) as launched:
        yield launched


@pytest_asyncio.fixture(loop_scope="session")
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(tmp_path / "page.db")
    await store.migrate()
    await store.open()
    yield store
    await store.close()


@pytest_asyncio.fixture(loop_scope="session")
async def watch(store: SqliteStore) -> AsyncIterator[Watch]:
    async with watching(store) as one:
        yield one


@pytest_asyncio.fixture(loop_scope="session")
async def visitor(browser: Browser) -> AsyncIterator[Visitor]:
    """Somebody at a desk, whose browser must have nothing to complain of at the end."""
    one = await Visitor.arrive(browser)
    yield one
    await one.leave()
    assert one.complaints == []


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
