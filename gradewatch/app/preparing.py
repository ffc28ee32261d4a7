"""The embedded default needs no set-up: its file is made by whoever first works with it."""

from __future__ import annotations

import structlog

from gradewatch.app.stores import make_store
from gradewatch.config import Settings
from gradewatch.errors import SchemaMismatch, StoreError

log = structlog.get_logger(__name__)


async def prepare_store(settings: Settings) -> list[str]:
    """Create or upgrade the tables where the store is SQLite; elsewhere only `gradewatch migrate` does that, because
    a server's schema belongs to whoever administers it. Returns what was done.

    Called by those who work with the queue, never by those who look at it: looking must change nothing.
    Raises SchemaMismatch where the file cannot be ours; a store that is merely away is left for the caller to meet.
    """
    if settings.store.scheme != "sqlite":
        return []
    store = make_store(settings)
    try:
        await store.open()
        return []
    except SchemaMismatch:
        done = await store.migrate()
    except StoreError:
        return []
    finally:
        await store.close()
    if done:
        log.info("store prepared", store=settings.store.url, migrations=done)
    return done
