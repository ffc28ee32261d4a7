"""The PostgreSQL store: SQL functions in the schema `gradewatch`, each called in one round trip."""

from gradewatch.stores.postgres.store import PostgresStore

__all__ = ["PostgresStore"]
