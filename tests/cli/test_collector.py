from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from gradewatch.cli import collector
from gradewatch.cli.signals import serve


@pytest.fixture(autouse=True)
def unfrozen() -> Iterator[None]:
    gc.unfreeze()
    yield
    gc.unfreeze()


def test_a_settled_service_has_what_stays_spared_and_goes_on_collecting_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Ring:
        def __init__(self) -> None:
            self.itself = self

    gone = []

    async def service(stop: asyncio.Event, hurry: asyncio.Event) -> None:
        async with asyncio.timeout(5):
            while not gc.get_freeze_count():
                await asyncio.sleep(0.001)
        ring = weakref.ref(Ring())
        gc.collect()
        gone.append(ring() is None)

    monkeypatch.setattr(collector, "SETTLED", 0.0)
    assert serve(service) == 0
    assert gone == [True]
