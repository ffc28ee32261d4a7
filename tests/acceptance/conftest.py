"""A scene for each test, cleared away at its end whatever happened."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("chaos_kit", "scenarios")  # their failed assertions show their values too

from chaos_kit import Scene  # noqa: E402 - after they were registered


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    made = Scene(tmp_path)
    try:
        await made.open()
        yield made
    finally:
        await made.clear()
