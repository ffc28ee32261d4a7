"""Platforms under test, and the check that none of their children is left."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import psutil
import pytest
from children import Command, Supervised


@pytest.fixture
async def supervise() -> AsyncIterator[Callable[..., Supervised]]:
    """Makes platforms; afterwards none of their children is left, not even as a zombie."""
    made: list[Supervised] = []

    def make(command: Command, **options: Any) -> Supervised:
        made.append(Supervised(command, **options))
        return made[-1]

    yield make
    for one in made:
        await one.kill()


@pytest.fixture(autouse=True)
def no_child_left() -> Iterator[None]:
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    yield
    left = [child for child in psutil.Process().children(recursive=True) if _is_ours(child, before)]
    assert not left, f"children left behind: {left}"


def _is_ours(child: psutil.Process, before: set[int]) -> bool:
    """Not a helper that a server, which other tests of this process share, has started when it liked; nor one that has
    just ended and been waited for."""
    try:
        return child.pid not in before and child.ppid() not in before
    except psutil.NoSuchProcess:
        return False
