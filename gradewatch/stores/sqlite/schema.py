"""Creating the tables, and knowing whether those that are there are the right ones."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path

from gradewatch.errors import SchemaMismatch, StoreUnavailable
from gradewatch.model import RUN_BOUNDS, WAIT_BOUNDS
from gradewatch.stores.sqlite.connect import connect
from gradewatch.stores.sqlite.faults import MIGRATE, translate

_BOUNDS = {"wait_bucket": WAIT_BOUNDS, "run_bucket": RUN_BOUNDS}


@cache
def scripts() -> tuple[tuple[str, str], ...]:
    """Every migration as (name, SQL), in order; the n-th leads to schema version n."""
    folder = files("gradewatch.stores") / "sql" / "sqlite"
    found = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".sql")), key=lambda entry: entry.name)
    return tuple((entry.name.removesuffix(".sql"), _filled(entry.read_text("utf-8"))) for entry in found)


def _filled(sql: str) -> str:
    """`{wait_bucket: EXPR}` becomes the CASE that says into which bucket of WAIT_BOUNDS the microseconds fall."""
    return re.sub(r"\{(\w+): ([^}]+)\}", lambda mark: _bucket(mark[2], _BOUNDS[mark[1]]), sql)


def _bucket(expression: str, bounds: tuple[float, ...]) -> str:
    cases = " ".join(
        f"WHEN {expression} <= {round(bound * 1_000_000)} THEN {index}" for index, bound in enumerate(bounds)
    )
    return f"CASE {cases} ELSE {len(bounds)} END"


def migration_text() -> str:
    return "\n".join(f"-- {name}\n{sql}" for name, sql in scripts())


def version(connection: sqlite3.Connection) -> int | None:
    """The schema's version; None where gradewatch has made nothing yet."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'meta'").fetchone():
        return None
    row = connection.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
    return int(row[0]) if row else None


@cache
def expected() -> frozenset[tuple[str, str]]:
    """(type, name) of everything the scripts make."""
    connection = sqlite3.connect(":memory:")
    try:
        connection.executescript(migration_text())
        return _present(connection)
    finally:
        connection.close()


def _present(connection: sqlite3.Connection) -> frozenset[tuple[str, str]]:
    rows = connection.execute("SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'")
    return frozenset((row[0], row[1]) for row in rows)


def verify(connection: sqlite3.Connection, path: Path) -> tuple[str, ...]:
    """Names of missing indexes. Raises SchemaMismatch when tables or triggers are absent, older or newer."""
    found = version(connection)
    if found is None:
        raise SchemaMismatch(f"{path} has no gradewatch tables: {MIGRATE} to create them.")
    if found < len(scripts()):
        raise SchemaMismatch(f"{path} has schema {found}, this version needs {len(scripts())}: {MIGRATE}.")
    if found > len(scripts()):
        raise SchemaMismatch(
            f"{path} has schema {found}, newer than this version's {len(scripts())}: update gradewatch."
        )
    missing = expected() - _present(connection)
    if lost := sorted(name for kind, name in missing if kind != "index"):
        raise SchemaMismatch(f"{path} lacks {', '.join(lost)}, which somebody dropped: restore it from a backup.")
    return tuple(sorted(name for _, name in missing))


def migrate(path: Path, timeout: float) -> list[str]:
    """Create or upgrade; returns what was done. Several processes may race: one does it.

    An index that somebody dropped is made again.
    """
    if not path.parent.is_dir():
        raise StoreUnavailable(f"The folder {path.parent} does not exist: create it, or correct store.url.")
    try:
        connection = connect(path, now=lambda: time.time_ns() // 1000, writes=True, timeout=timeout, create=True)
        try:
            connection.execute("BEGIN IMMEDIATE")
            done = _upgrade(connection, path)
            connection.execute("COMMIT")
            return done
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise translate(error, path, timeout) from error


def _upgrade(connection: sqlite3.Connection, path: Path) -> list[str]:
    found = version(connection) or 0
    if found == 0 and (clash := {name for _, name in expected() & _present(connection)}):
        raise SchemaMismatch(
            f"{path} belongs to another application: it has {', '.join(sorted(clash))} already. "
            "Give gradewatch a file of its own in store.url."
        )
    todo = scripts()[found:]
    for _, sql in todo:
        for statement in _statements(sql):
            connection.execute(statement)
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('schema_version', ?)", (str(max(found, len(scripts()))),))
    return [name for name, _ in todo] + _restore_indexes(connection)


def _restore_indexes(connection: sqlite3.Connection) -> list[str]:
    missing = {name for kind, name in expected() - _present(connection) if kind == "index"}
    made = []
    for statement in (statement for _, sql in scripts() for statement in _statements(sql)):
        name = re.search(r"CREATE (?:UNIQUE )?INDEX (\w+)", statement)
        if name and name[1] in missing:
            connection.execute(statement)
            made.append(f"index {name[1]}")
    return made


def _statements(sql: str) -> Iterator[str]:
    """Split a script; `executescript` would commit half way."""
    statement = ""
    for line in sql.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
