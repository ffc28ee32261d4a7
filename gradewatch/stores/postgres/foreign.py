"""Another application's table over a direct connection. Reads and guarded writes of its rows; creates nothing but the
index that `migrate --indexes` is told to, and the guard that `migrate --guard` is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from psycopg import sql

from gradewatch.config.foreign import ForeignSettings
from gradewatch.errors import AccessDenied, SchemaMismatch
from gradewatch.stores.mapping.table import Row, Select, Shape, Write
from gradewatch.stores.postgres import guard, moments
from gradewatch.stores.postgres.address import Address
from gradewatch.stores.postgres.caller import Database
from gradewatch.stores.postgres.columns import may_be

CONNECTIONS = 4
DOUBLES = 100  # rows found beyond two for each id, where ids stand more than once
INDEX_BUILD = 600.0  # seconds that CREATE INDEX CONCURRENTLY on a large table may take
_ID_TYPES = frozenset({"uuid", "integer", "bigint", "smallint", "text", "character varying"})
_SHAPE = """
SELECT c.relname, has_table_privilege(c.oid, 'SELECT'), has_table_privilege(c.oid, 'UPDATE'),
  row_security_active(c.oid),
  (SELECT json_object_agg(a.attname, format_type(a.atttypid, NULL)) FROM pg_attribute AS a
   WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
  (SELECT coalesce(json_agg(DISTINCT a.attname), '[]') FROM pg_index AS i
   JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = i.indkey[0] WHERE i.indrelid = c.oid AND i.indisvalid)
FROM pg_class AS c WHERE c.oid = to_regclass({table})
"""
_UNORDERED = sql.SQL("")
_UPDATE = """
WITH given AS (
  SELECT n, jsonb_populate_record(NULL::{table}, e -> 'guard') AS g,
    jsonb_populate_record(NULL::{table}, e -> 'values') AS v
  FROM jsonb_array_elements({writes}::jsonb) WITH ORDINALITY AS x (e, n)
), changed AS (
  UPDATE {table} AS t SET {sets} FROM given WHERE {guards} RETURNING given.n
)
SELECT coalesce(json_agg(n), '[]') FROM changed
"""


class PostgresTable:
    """See ForeignTable for what each method promises. One connection's row locks are held for one statement only."""

    kind = "postgres"

    def __init__(self, url: str, settings: ForeignSettings, *, timeout: float) -> None:
        self._address = Address(url)
        self._database = Database(self._address, timeout=timeout, size=CONNECTIONS)
        self._timeout = timeout
        self._settings = settings
        self._name = sql.Identifier(*settings.table.split("."))
        self._types: dict[str, str] = {}

    @property
    def exact_times(self) -> bool:
        return all(moments.exact(self._types[name]) for name in self._settings.fields.times if name in self._types)

    async def now(self) -> datetime:
        return datetime.fromisoformat(str((await self._ask(sql.SQL("SELECT to_json(clock_timestamp())")))[0][0]))

    async def shape(self) -> Shape:
        [found] = await self._run([sql.SQL(_SHAPE).format(table=sql.Literal(self._name.as_string(None)))])
        place = f"{self._address.shown}: table {self._settings.table}"
        if not found:
            raise SchemaMismatch(f"{place} is not there. Correct the table in the queue's settings, or store.url.")
        _, reads, writes, hidden, types, indexed = found[0]
        if not (reads and writes):
            lacks = " and ".join(word for word, has in (("SELECT", reads), ("UPDATE", writes)) if not has)
            raise AccessDenied(
                f"{place}: this role lacks {lacks}. GRANT SELECT, UPDATE ON {self._settings.table} to it."
            )
        if hidden:
            raise AccessDenied(
                f"{place}: row level security hides rows from this role, so that an empty answer means nothing. "
                "Connect as the table's owner, or as a role with BYPASSRLS (on Supabase: the role postgres)."
            )
        fields = self._settings.fields
        if missing := [name for name in (fields.id, fields.state) if name not in types]:
            raise SchemaMismatch(f"{place} has no column {' or '.join(missing)}. Correct the queue's fields.")
        self._types = types
        return Shape(frozenset(types), frozenset(indexed))

    async def count(self, words: Sequence[str], kinds: Any, cap: int) -> int:
        await self._known()
        found = await self._ask(
            sql.SQL("SELECT count(*) FROM (SELECT FROM {table} AS t WHERE {where} LIMIT {cap}) AS x").format(
                table=self._name, where=sql.SQL(" AND ").join(self._in(words, kinds)), cap=sql.Literal(cap)
            )
        )
        return int(found[0][0])

    async def select(self, what: Select) -> list[Row]:
        await self._known()
        absent = moments.is_strange if what.strange else moments.is_null
        conditions = [absent(self._column(name), self._types[name]) for name in what.absent]
        if what.by is None:
            return await self._rows([*self._in(what.words, what.kinds), *conditions], what.limit)
        by, kind = self._column(what.by), self._types[what.by]
        conditions.append(moments.is_time(by, kind))
        conditions += [
            moments.compared(by, kind, sign, bound)
            for sign, bound in (("<", what.before), (">", what.after))
            if bound is not None
        ]
        # Each word by itself, so that an index that begins with the state gives the rows in their order.
        each: list[tuple[str, ...]] = [(word,) for word in what.words]
        order = sql.SQL("ORDER BY {} {}").format(sql.Identifier(what.by), sql.SQL("DESC" if what.newest else "ASC"))
        found = [[*self._in(words, what.kinds), *conditions] for words in each or [()]]
        return await self._rows(found[0], what.limit, order, found[1:])

    async def find(self, ids: Sequence[Any]) -> list[Row]:
        await self._known()
        kind = self._types[self._settings.fields.id]
        listed = [text for one in ids if may_be(text := str(one), kind)]
        if not listed:
            return []
        # Compared in the column's own type, for its index.
        column, cast = self._column(self._settings.fields.id), sql.SQL(kind if kind in _ID_TYPES else "text")
        if kind not in _ID_TYPES:
            column = sql.SQL("{}::text").format(column)
        where = sql.SQL("{} = ANY ({}::{}[])").format(column, sql.Literal(listed), cast)
        return await self._rows([where], 2 * len(ids) + DOUBLES)

    async def write(self, writes: Sequence[Write]) -> list[bool]:
        done = [False] * len(writes)
        groups: dict[tuple[Any, ...], list[int]] = {}
        statements: dict[tuple[int, ...], sql.Composable] = {}
        for place, write in enumerate(writes):
            groups.setdefault((tuple(write.guard), tuple(write.values)), []).append(place)
        for (guarded, valued), places in groups.items():
            sets = [sql.SQL("{0} = (v).{0}").format(sql.Identifier(name)) for name in valued]
            guards = [
                sql.SQL("t.{0} {1} (g).{0}").format(
                    sql.Identifier(name), sql.SQL("=" if name == self._settings.fields.id else "IS NOT DISTINCT FROM")
                )
                for name in guarded
            ]
            said = json.dumps([asdict(writes[place]) for place in places], default=_plain)
            statements[tuple(places)] = sql.SQL(_UPDATE).format(
                table=self._name,
                writes=sql.Literal(said),
                sets=sql.SQL(", ").join(sets),
                guards=sql.SQL(" AND ").join(guards),
            )
        answers = await self._run(list(statements.values()), acting=True)
        for asked, answer in zip(statements, answers, strict=True):
            for number in answer[0][0]:
                done[asked[number - 1]] = True
        return done

    def index_statements(self) -> list[str]:
        return [index_statement(self._settings)]

    def guard_statement(self) -> str:
        return guard.guard_text(self._settings)

    async def make_guard(self) -> None:
        deadline = asyncio.get_running_loop().time() + self._timeout
        async with self._database.connections.one(deadline) as connection:
            await connection.execute(self.guard_statement().encode())

    async def make_indexes(self) -> list[str]:
        if self._settings.fields.state in (await self.shape()).indexed:
            return []
        done = []
        deadline = asyncio.get_running_loop().time() + INDEX_BUILD
        async with self._database.connections.one(deadline) as connection:
            for statement in self.index_statements():
                await connection.execute(statement.encode())
                done.append(statement)
        return done

    async def close(self) -> None:
        await self._database.close()

    # ---------------------------------------------------------------- statements

    async def _ask(self, statement: sql.Composable) -> list[tuple[Any, ...]]:
        await self._known()
        return (await self._run([statement]))[0]

    async def _known(self) -> None:
        if not self._types:
            await self.shape()

    async def _run(self, statements: Sequence[sql.Composable], *, acting: bool = False) -> list[list[tuple[Any, ...]]]:
        """The statements in one transaction, their deadlines sent along. Raises store errors."""
        try:
            return await self._sent(statements, acting)
        except SchemaMismatch as error:
            # Ours to make are only our own tables: these are the application's.
            said = str(error).rpartition(": run ")[0] or str(error)
            raise SchemaMismatch(f"{said}. Correct the settings of the queue on {self._settings.table}.") from error

    async def _sent(self, statements: Sequence[sql.Composable], acting: bool) -> list[list[tuple[Any, ...]]]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout
        async with self._database.connections.one(deadline) as connection:
            said = self._database.preamble(connection, deadline - loop.time()) + b"SET LOCAL timezone = 'UTC'; "
            if acting:
                said += f"SET LOCAL {guard.ACTING} = 'on'; ".encode()
            said += b"; ".join(statement.as_bytes(connection) for statement in statements)
            cursor = await connection.execute(said)
            answers = [await cursor.fetchall() if cursor.description else []]
            while cursor.nextset():
                answers.append(await cursor.fetchall() if cursor.description else [])
            return answers[-len(statements) :] if statements else []

    async def _rows(
        self,
        where: Sequence[sql.Composable],
        limit: int,
        order: sql.Composable = _UNORDERED,
        more: Sequence[Sequence[sql.Composable]] = (),
    ) -> list[Row]:
        """The rows that fit `where`, and those that fit any of `more`, together in order."""
        names = sql.SQL(", ").join(sql.Identifier(name) for name in self._settings.touched if name in self._types)
        part = sql.SQL("(SELECT {} FROM {} AS t WHERE {} {} LIMIT {})")
        parts = sql.SQL(" UNION ALL ").join(
            part.format(names, self._name, sql.SQL(" AND ").join(one), order, sql.Literal(limit))
            for one in (where, *more)
        )
        every = sql.SQL("SELECT coalesce(json_agg(x), '[]') FROM (SELECT * FROM ({}) AS u {} LIMIT {}) AS x")
        found = await self._ask(every.format(parts, order, sql.Literal(limit)))
        return list(found[0][0])

    def _column(self, name: str) -> sql.Composable:
        return sql.SQL("t.{}").format(sql.Identifier(name))

    def _in(self, words: Sequence[str], kinds: Any) -> list[sql.Composable]:
        fields, conditions = self._settings.fields, list[sql.Composable]()
        if words:
            state = self._column(fields.state)
            if self._types.get(fields.state) not in ("text", "character varying"):
                state = sql.SQL("{}::text").format(state)
            conditions.append(sql.SQL("{} = ANY ({}::text[])").format(state, sql.Literal(list(words))))
        if kinds is not None and fields.kind:
            conditions.append(
                sql.SQL("{}::text = ANY ({}::text[])").format(self._column(fields.kind), sql.Literal(list(kinds)))
            )
        return conditions or [sql.SQL("true")]


def index_statement(settings: ForeignSettings) -> str:
    """The one index that the probes of such a table need."""
    fields, parts = settings.fields, settings.table.split(".")
    names = sql.SQL(", ").join(sql.Identifier(name) for name in (fields.state, fields.created[0]))
    made = sql.SQL("CREATE INDEX CONCURRENTLY IF NOT EXISTS {} ON {} ({});")
    return made.format(sql.Identifier(f"gradewatch_{parts[-1]}_state_idx"), sql.Identifier(*parts), names).as_string(
        None
    )


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
