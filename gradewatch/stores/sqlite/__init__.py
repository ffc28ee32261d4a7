"""SQLite: the embedded default store."""

from gradewatch.stores.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
