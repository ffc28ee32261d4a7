"""A place for each test, cleared away at its end whatever happened."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "stores"))  # their server of PostgreSQL
pytest.register_assert_rewrite("embed_kit")

from embed_kit import Place  # noqa: E402 - after it was registered


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    made = Place(tmp_path)
    try:
        await made.open()
        yield made
    finally:
        await made.clear()


@pytest.fixture
async def place_on_postgres(tmp_path: Path) -> AsyncIterator[Place]:
    import postgres_server

    from gradewatch.stores.postgres import PostgresStore

    url = postgres_server.emptied()
    made = Place(tmp_path, url, PostgresStore(url, timeout=10.0))
    try:
        await made.open()
        yield made
    finally:
        await made.clear()
