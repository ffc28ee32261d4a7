"""Which store a URL means."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gradewatch.config import Settings
from gradewatch.errors import ConfigError
from gradewatch.ports import Foreign, OpenStore, Store


def make_store(settings: Settings) -> Store:
    """The store of these settings, not opened yet. Raises ConfigError for a URL that is no store's, and where the
    library of a store is not installed."""
    if any(queue.foreign for queue in settings.queues.values()):
        from gradewatch.app.foreign import routed

        return routed(settings)
    return own_store(settings)


def foreign_side(store: Store) -> Foreign | None:
    """The side of a store that concerns queues of other applications, where the settings have any."""
    from gradewatch.stores.mapping.routed import RoutedStore

    return store if isinstance(store, RoutedStore) else None


def own_store(settings: Settings) -> Store:
    """The store of our own queues and records."""
    scheme, _, rest = settings.store.url.partition("://")
    if scheme == "sqlite":
        from gradewatch.stores.sqlite import SqliteStore

        # Three slashes begin a relative path and four an absolute one, as SQLAlchemy has it.
        return SqliteStore(rest.removeprefix("/"), timeout=settings.store.timeout)
    if scheme == "postgresql":
        return _postgres(settings)
    if scheme in ("mongodb", "mongodb+srv"):
        return _mongo(settings)
    raise ConfigError([f"store.url: no store for {scheme}:// in this version"])


def _postgres(settings: Settings) -> Store:
    try:
        from gradewatch.stores.postgres import PostgresStore
    except ImportError as error:
        raise ConfigError(
            [f"store.url: PostgreSQL needs a library ({error}): run pip install 'gradewatch[postgres]'"]
        ) from error
    try:
        return PostgresStore(settings.store.url, timeout=settings.store.timeout)
    except ValueError as error:
        raise ConfigError([f"store.url: {error}"]) from error


def _mongo(settings: Settings) -> Store:
    try:
        from gradewatch.stores.mongo import MongoStore
    except ImportError as error:
        raise ConfigError(
            [f"store.url: MongoDB needs a library ({error}): run pip install 'gradewatch[mongo]'"]
        ) from error
    try:
        return MongoStore(settings.store.url, timeout=settings.store.timeout)
    except ValueError as error:
        raise ConfigError([f"store.url: {error}"]) from error


def opener(settings: Settings) -> OpenStore:
    """Opens a further handle on the same store, in whichever event loop it is called."""

    async def open_store() -> Store:
        store = make_store(settings)
        await store.open()
        return store

    return open_store


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Store]:
    """An open store for the length of the context. Raises store errors."""
    store = make_store(settings)
    try:
        await store.open()
        yield store
    finally:
        await store.close()
