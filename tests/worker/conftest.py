"""Fixtures of the worker's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from worker_kit import Bench, opened

from gradewatch.stores.sqlite import SqliteStore


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    path = tmp_path / "gradewatch.db"
    store = SqliteStore(path)
    await store.migrate()
    await store.close()
    store = await opened(path)
    yield Bench(path, store)
    await store.close()
