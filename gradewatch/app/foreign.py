"""Queues of other applications: their database, and where the watch of them keeps its own records."""

from __future__ import annotations

from dataclasses import replace

from gradewatch.app.stores import own_store, supabase_key
from gradewatch.config import QueueSettings, Settings
from gradewatch.config.foreign import ForeignSettings
from gradewatch.errors import ConfigError, SchemaMismatch
from gradewatch.ports import Store
from gradewatch.stores.mapping import ForeignQueue, ForeignTable, RoutedStore

RECORDS = "sqlite:///gradewatch-records.db"
NO_DDL = ("postgresql", "https", "http")  # where nothing of ours can be made unasked


def routed(settings: Settings, *, to_open: bool = True) -> Store:
    """Our own queues and those of another application behind one store. Raises ConfigError."""
    foreign = {name: queue for name, queue in settings.queues.items() if queue.foreign is not None}
    owned = [name for name in settings.queues if name not in foreign]
    at = records_url(settings)
    records = own_store(replace(settings, store=replace(settings.store, url=at)), to_open=to_open)
    queues = {name: _queue(settings, queue, records, to_open) for name, queue in foreign.items()}
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


def _queue(settings: Settings, queue: QueueSettings, records: Store, to_open: bool) -> ForeignQueue:
    assert queue.foreign is not None
    return ForeignQueue(queue, _table(settings, queue.foreign, to_open), records)


def _table(settings: Settings, foreign: ForeignSettings, to_open: bool) -> ForeignTable:
    match settings.store.scheme:
        case "mongodb" | "mongodb+srv":
            return _mongo(settings, foreign)
        case "postgresql":
            return _postgres(settings, foreign)
        case "https" | "http":
            return _supabase(settings, foreign, supabase_key(to_open=to_open))
    raise ConfigError([f"store.url: {settings.store.scheme}:// holds no queues of other applications"])


def _postgres(settings: Settings, foreign: ForeignSettings) -> ForeignTable:
    try:
        from gradewatch.stores.postgres.foreign import PostgresTable
    except ImportError as error:
        raise ConfigError(
            [f"store.url: PostgreSQL needs a library ({error}): run pip install 'gradewatch[postgres]'"]
        ) from error
    return PostgresTable(settings.store.url, foreign, timeout=settings.store.timeout)


def _supabase(settings: Settings, foreign: ForeignSettings, key: str) -> ForeignTable:
    try:
        from gradewatch.stores.supabase.client import SupabaseClient
        from gradewatch.stores.supabase.foreign import SupabaseTable
    except ImportError as error:
        raise ConfigError(
            [f"store.url: Supabase needs a library ({error}): run pip install 'gradewatch[supabase]'"]
        ) from error
    client = SupabaseClient(settings.store.url, key, timeout=settings.store.timeout)
    try:
        return SupabaseTable(client, foreign)
    except SchemaMismatch as error:
        raise ConfigError([f"{error} {error.fix}"]) from error


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
