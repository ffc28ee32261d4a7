"""A place for each test, cleared away at its end whatever happened."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

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
