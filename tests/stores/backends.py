"""The stores that the contract suite runs on. A store joins by one line in BACKENDS."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from gradewatch.ports import Store
from gradewatch.stores.sqlite import SqliteStore

START = 1_772_442_000_000_000  # 2026-03-02 09:00 UTC, in microseconds


class StepClock:
    """A store's clock that moves only when it is told to."""

    def __init__(self) -> None:
        self.micros = START

    def __call__(self) -> int:
        return self.micros

    def step(self, seconds: float) -> None:
        self.micros += round(seconds * 1_000_000)


class Backend(Protocol):
    """One set of data, to which any number of handles can be opened, as other processes would."""

    def __init__(self, folder: Path) -> None: ...

    def handle(self, clock: StepClock | None) -> Store:
        """A handle, not open yet. Without a clock the store goes by its own."""
        ...


class Sqlite:
    def __init__(self, folder: Path) -> None:
        self.path = folder / "store.db"

    def handle(self, clock: StepClock | None) -> Store:
        return SqliteStore(self.path, clock=clock)


BACKENDS: dict[str, type[Backend]] = {
    "sqlite": Sqlite,
}


@asynccontextmanager
async def opened(store: Store) -> AsyncIterator[Store]:
    await store.migrate()
    await store.open()
    try:
        yield store
    finally:
        await store.close()
