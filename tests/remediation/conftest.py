"""A real SQLite store whose clock moves only when it is told to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from watch_kit import Time, opened

from gradewatch.stores.sqlite import SqliteStore


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "watched.db"


@pytest.fixture
async def store(path: Path, time: Time) -> AsyncIterator[SqliteStore]:
    async with opened(path, time, timeout=2.0) as handle:
        yield handle
