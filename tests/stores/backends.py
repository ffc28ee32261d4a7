"""The stores that the contract suite runs on. A store joins by one line in BACKENDS."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import postgres_server
import supabase_project
from mongo_backends import Mongo, MotorMongo, StandaloneMongo

from gradewatch.model import PaperRef
from gradewatch.ports import Store
from gradewatch.stores.postgres import PostgresStore
from gradewatch.stores.sqlite import SqliteStore
from gradewatch.stores.supabase import SupabaseStore

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

    examples: int  # how many orders of calls the randomized test tries: a server's round trips take their time

    def __init__(self, folder: Path) -> None: ...

    def handle(self, clock: StepClock | None) -> Store:
        """A handle, not open yet. Without a clock the store goes by its own."""
        ...

    def age_paper(self, ref: PaperRef) -> None:
        """Make its file look as if it had been put long ago."""
        ...


class Sqlite:
    examples = 30

    def __init__(self, folder: Path) -> None:
        self.path = folder / "store.db"

    def handle(self, clock: StepClock | None) -> Store:
        return SqliteStore(self.path, clock=clock)

    def age_paper(self, ref: PaperRef) -> None:
        os.utime(self.path.with_name("store.db.papers") / ref.sha256[:2] / ref.sha256, (0, 0))


class Postgres:
    """One database for all, emptied for each; its clock is told the time with every call."""

    examples = 8

    def __init__(self, folder: Path) -> None:
        self.url = postgres_server.emptied()

    def handle(self, clock: StepClock | None) -> Store:
        return PostgresStore(self.url, settings=None if clock is None else ClockSetting(clock))

    def age_paper(self, ref: PaperRef) -> None:
        postgres_server.server().sql(
            f"UPDATE gradewatch.files SET put_at = '1970-01-01' WHERE sha256 = '{ref.sha256}'", "contract"
        )


class PooledPostgres(Postgres):
    """The same through a transaction pooler."""

    examples = 3

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.url = postgres_server.server().url("contract", port=postgres_server.pooler().port)


class Supabase:
    """One project for all, emptied for each; its clock is told the time with every request."""

    examples = 3

    def __init__(self, folder: Path) -> None:
        self.project = supabase_project.emptied()

    def handle(self, clock: StepClock | None) -> Store:
        store = SupabaseStore(self.project.url, self.project.key)
        if clock is not None:
            tell_time(store, clock)
        return store

    def age_paper(self, ref: PaperRef) -> None:
        self.project.sql(f"UPDATE gradewatch.objects SET at = '1970-01-01' WHERE sha256 = '{ref.sha256}'")


def tell_time(store: SupabaseStore, clock: StepClock) -> None:
    """Let each request carry what the clock says."""

    async def tell(request: Any) -> None:
        request.headers["x-tests-micros"] = str(clock.micros)

    store.client._client().event_hooks["request"].append(tell)


class ClockSetting(Mapping[str, str]):
    """A store clock as a server setting, read anew each time."""

    def __init__(self, clock: StepClock) -> None:
        self.clock = clock

    def __getitem__(self, name: str) -> str:
        return {"tests.micros": str(self.clock.micros)}[name]

    def __iter__(self) -> Iterator[str]:
        return iter(["tests.micros"])

    def __len__(self) -> int:
        return 1


BACKENDS: dict[str, type[Backend]] = {
    "sqlite": Sqlite,
    "postgres": Postgres,
    "postgres-pooled": PooledPostgres,
    "supabase": Supabase,
    "mongo": Mongo,
    "mongo-motor": MotorMongo,
    "mongo-standalone": StandaloneMongo,
}


@asynccontextmanager
async def opened(store: Store) -> AsyncIterator[Store]:
    await store.migrate()
    await store.open()
    try:
        yield store
    finally:
        await store.close()
