"""Queues of other applications: their database, and where the watch of them keeps its own records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gradewatch.app.stores import own_store
from gradewatch.config import QueueSettings, Settings
from gradewatch.config.foreign import ForeignSettings
from gradewatch.errors import ConfigError
from gradewatch.ports import Store
from gradewatch.stores.mapping import ForeignQueue, ForeignTable, RoutedStore

RECORDS = "sqlite:///gradewatch-records.db"
NO_DDL = ("postgresql", "https", "http")  # where nothing of ours can be made unasked


def routed(settings: Settings) -> Store:
    """Our own queues and those of another application behind one store. Raises ConfigError."""
    foreign = {name: queue for name, queue in settings.queues.items() if queue.foreign is not None}
    owned = [name for name in settings.queues if name not in foreign]
    at = records_url(settings)
    records = own_store(replace(settings, store=replace(settings.store, url=at)))
    queues = {name: _queue(settings, queue, records) for name, queue in foreign.items()}
    return RoutedStore(records, queues, owned=owned, apart=at != settings.store.url)


def records_url(settings: Settings) -> str:
    """Where sessions, audit trail, leases and pauses are kept. By default in the store itself; but beside an
    application's own tables in PostgreSQL, where nothing is created unasked, in a file."""
    if settings.store.records == "store":
        return settings.store.url
    if settings.store.records:
        return settings.store.records
    only_foreign = all(queue.foreign for queue in settings.queues.values())
    return RECORDS if only_foreign and settings.store.scheme in NO_DDL else settings.store.url


def _queue(settings: Settings, queue: QueueSettings, records: Store) -> ForeignQueue:
    assert queue.foreign is not None
    return ForeignQueue(queue, _table(settings, queue.foreign), records)


def _table(settings: Settings, foreign: ForeignSettings) -> ForeignTable:
    makers: dict[str, Callable[[Settings, ForeignSettings], ForeignTable]] = {
        "postgresql": _postgres,
        "mongodb": _mongo,
        "mongodb+srv": _mongo,
    }
    make = makers.get(settings.store.scheme)
    if make is None:
        raise ConfigError([f"store.url: {settings.store.scheme}:// holds no queues of other applications"])
    return make(settings, foreign)


def _postgres(settings: Settings, foreign: ForeignSettings) -> ForeignTable:
    try:
        from gradewatch.stores.postgres.foreign import PostgresTable
    except ImportError as error:
        raise ConfigError(
            [f"store.url: PostgreSQL needs a library ({error}): run pip install 'gradewatch[postgres]'"]
        ) from error
    return PostgresTable(settings.store.url, foreign, timeout=settings.store.timeout)


def _mongo(settings: Settings, foreign: ForeignSettings) -> ForeignTable:
    try:
        from gradewatch.stores.mongo.foreign import MongoTable
    except ImportError as error:
        raise ConfigError(
            [f"store.url: MongoDB needs a library ({error}): run pip install 'gradewatch[mongo]'"]
        ) from error
    try:
        return MongoTable(settings.store.url, foreign, timeout=settings.store.timeout)
    except ValueError as error:
        raise ConfigError([f"store.url: {error}"]) from error
