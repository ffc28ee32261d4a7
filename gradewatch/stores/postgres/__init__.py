"""The PostgreSQL store: SQL functions in the schema `gradewatch`, each called in one round trip.

The store, and psycopg with it, is imported when it is first asked for: who calls the functions by other ways needs
neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradewatch.stores.postgres.store import PostgresStore

__all__ = ["PostgresStore"]


def __getattr__(name: str) -> Any:
    if name != "PostgresStore":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from gradewatch.stores.postgres.store import PostgresStore

    return PostgresStore
