"""`there`: one place with rows of another application, and the watch's stores over it."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "stores"))  # the servers that the stores' tests start

from foreign_kit import There
from places import PLACES, Place


@pytest.fixture(params=list(PLACES))
def place(request: pytest.FixtureRequest) -> Place:
    return PLACES[request.param]()


@pytest.fixture
async def there(place: Place, tmp_path: Path) -> AsyncIterator[There]:
    made = There(place, tmp_path)
    await made.open()
    try:
        yield made
    finally:
        await made.close()
