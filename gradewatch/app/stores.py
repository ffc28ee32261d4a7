"""Which store a URL means."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gradewatch.config import Settings
from gradewatch.config.store_url import SUPABASE_KEY, missing_key
from gradewatch.errors import ConfigError
from gradewatch.ports import Foreign, OpenStore, Store


def make_store(settings: Settings, *, to_open: bool = True) -> Store:
    """The store of these settings, not opened yet; `to_open`: it is going to be, and needs its key. Raises ConfigError
    for a URL that is no store's, where the library of a store is not installed, and where its key is missing."""
    if any(queue.foreign for queue in settings.queues.values()):
        from gradewatch.app.foreign import routed

        return routed(settings, to_open=to_open)
    return own_store(settings, to_open=to_open)


def foreign_side(store: Store) -> Foreign | None:
    """The side of a store that concerns queues of other applications, where the settings have any."""
    from gradewatch.stores.mapping.routed import RoutedStore

    return store if isinstance(store, RoutedStore) else None


def own_store(settings: Settings, *, to_open: bool = True) -> Store:
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
    if scheme in ("https", "http"):
        return _supabase(settings, to_open)
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


def _supabase(settings: Settings, to_open: bool) -> Store:
    try:
        from gradewatch.stores.supabase import SupabaseStore
    except ImportError as error:
        raise ConfigError(
            [f"store.url: Supabase needs a library ({error}): run pip install 'gradewatch[supabase]'"]
        ) from error
    return SupabaseStore(
        settings.store.url,
        supabase_key(to_open=to_open),
        timeout=settings.store.timeout,
        database_url=os.environ.get("DATABASE_URL", "").strip(),
    )


def supabase_key(*, to_open: bool) -> str:
    """The key in the environment. Raises ConfigError where it is needed and missing."""
    if to_open and (missing := missing_key(os.environ)):
        raise ConfigError([missing])
    return os.environ.get(SUPABASE_KEY, "").strip()


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
