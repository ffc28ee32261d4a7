"""Creating the schema, and knowing whether the one that is there is the right one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from gradewatch.errors import SchemaMismatch

if TYPE_CHECKING:
    from gradewatch.stores.postgres.connections import Connection

MIGRATE = 'run "gradewatch migrate"'
LOCK = "SELECT pg_advisory_xact_lock(7233158, 1)"  # one migration at a time


@cache
def scripts() -> tuple[tuple[str, str], ...]:
    """Every migration as (name, SQL), in order; the n-th leads to schema version n. Each may be run again."""
    folder = files("gradewatch.stores") / "sql" / "postgres"
    found = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".sql")), key=lambda entry: entry.name)
    return tuple((entry.name.removesuffix(".sql"), entry.read_text("utf-8")) for entry in found)


def migration_text() -> str:
    """All of it as one script, which may be run again."""
    parts = [f"-- {name}\n{sql}" for name, sql in scripts()]
    return "\n".join(["BEGIN;", f"{LOCK};", *parts, noted(), "COMMIT;", ""])


def noted() -> str:
    return (
        f"INSERT INTO gradewatch.meta VALUES ('schema_version', '{len(scripts())}')\n"
        "  ON CONFLICT (key) DO UPDATE SET value = excluded.value;"
    )


@cache
def indexes() -> frozenset[str]:
    return frozenset(re.findall(r"CREATE (?:UNIQUE )?INDEX IF NOT EXISTS (\w+)", migration_text()))


@cache
def triggers() -> frozenset[str]:
    return frozenset(re.findall(r"CREATE OR REPLACE TRIGGER (\w+)", migration_text()))


def verify(place: str, facts: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of missing indexes, from what the function `check` answered. Raises SchemaMismatch."""
    version = facts["version"] or 0
    _compare(place, version)
    lost = triggers() - frozenset(facts["triggers"]) if facts["exact_depth"] else frozenset()
    if lost:
        raise SchemaMismatch(f"{place} lacks {', '.join(sorted(lost))}, which somebody dropped or disabled: {MIGRATE}.")
    return tuple(sorted(indexes() - frozenset(facts["indexes"])))


def _compare(place: str, version: int) -> None:
    if version < len(scripts()):
        raise SchemaMismatch(f"{place} has schema {version}, this version needs {len(scripts())}: {MIGRATE}.")
    if version > len(scripts()):
        raise SchemaMismatch(
            f"{place} has schema {version}, newer than this version's {len(scripts())}: update gradewatch."
        )


_LOOK = """
SELECT to_regclass('gradewatch.meta') IS NOT NULL,
  ARRAY(SELECT relname::text FROM pg_class WHERE relnamespace = to_regnamespace('gradewatch') AND relkind <> 'i'
        ORDER BY relname LIMIT 3),
  ARRAY(SELECT c.relname::text FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
        WHERE c.relnamespace = to_regnamespace('gradewatch') AND i.indisvalid),
  ARRAY(SELECT tgname::text FROM pg_trigger WHERE tgrelid = to_regclass('gradewatch.jobs') AND NOT tgisinternal)
"""


async def migrate(connection: Connection, preamble: bytes, place: str) -> list[str]:
    """Create, upgrade or mend, in one transaction; returns what was done. Several processes may race: one does it."""
    async with connection.transaction():
        await connection.execute(preamble + LOCK.encode())
        cursor = await connection.execute(_LOOK)
        ours, there, valid, counting = await cursor.fetchone() or (False, [], [], [])
        if not ours and there:
            raise SchemaMismatch(
                f"{place} has a schema gradewatch of another application, with {', '.join(there)}. "
                "Give gradewatch a database of its own in store.url."
            )
        version = await _version(connection) if ours else 0
        if version > len(scripts()):
            _compare(place, version)
        missing = sorted((indexes() - set(valid)) | (triggers() - set(counting))) if version else []
        done = [name for name, _ in scripts()[version:]] + [f"again {name}" for name in missing]
        if done:
            for name in set(missing) & indexes():  # one that is there but unusable would be left as it is
                await connection.execute(f"DROP INDEX IF EXISTS gradewatch.{name}".encode())
            for _, sql in scripts():
                await connection.execute(sql.encode())
            await connection.execute(noted().encode())
        return done


async def _version(connection: Connection) -> int:
    cursor = await connection.execute("SELECT value::int FROM gradewatch.meta WHERE key = 'schema_version'")
    row = await cursor.fetchone()
    return row[0] if row else 0
