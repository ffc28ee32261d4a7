from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from served import TOKEN, Client, started

from gradewatch.config import HttpSettings, QueueSettings, Settings
from gradewatch.stores.sqlite import SqliteStore


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(tmp_path / "test.db")
    await store.migrate()
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def settings() -> Settings:
    queues = {name: QueueSettings(name=name) for name in ("default", "urgent")}
    return Settings(http=HttpSettings(token=TOKEN), queues=queues)


@pytest.fixture
async def client(store: SqliteStore, settings: Settings) -> AsyncIterator[Client]:
    async for one in started(store, settings):
        yield one
