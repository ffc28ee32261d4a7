"""Another application's table in a Supabase project, over PostgREST alone: nothing is created, nothing needs to be."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from gradewatch.config.foreign import ForeignSettings
from gradewatch.errors import AccessDenied, SchemaMismatch, StoreUnavailable
from gradewatch.stores.chunks import each
from gradewatch.stores.mapping.table import Row, Select, Shape, Write
from gradewatch.stores.mapping.times import EARLIEST
from gradewatch.stores.postgres.columns import TIMES, may_be
from gradewatch.stores.supabase.client import SupabaseClient

SHORT = 100  # rows: a page with fewer than this was not cut by the project's "max rows"
IDS = 100  # ids in one request, so that its URL stays within what gateways take
AT_ONCE = 4  # requests under way, fewer than the client has connections: none waits for one while its time runs
ACTING = "x-gradewatch-acting"  # tells the guard, where there is one, who writes
WIDEST = timedelta(hours=15)  # offsets from UTC reach 14 hours


class SupabaseTable:
    """See ForeignTable for what each method promises. The clock is that of the project's API, to the second."""

    kind = "supabase"

    def __init__(self, client: SupabaseClient, settings: ForeignSettings) -> None:
        schema, _, name = settings.table.rpartition(".")
        if schema not in ("", "public"):
            raise SchemaMismatch(
                f"{client.place} shows the schema public, and the queue's table is {settings.table}.",
                fix="Watch it over the project's direct connection: set store.url to its connection string.",
            )
        self._client, self._settings, self._name = client, settings, name
        self._types: dict[str, str] = {}

    @property
    def exact_times(self) -> bool:
        return all(self._types.get(name) in TIMES for name in self._settings.fields.times if name in self._types)

    async def now(self) -> datetime:
        async with self._client.answer(
            "HEAD", f"rest/v1/{self._name}?select={self._settings.fields.id}&limit=1"
        ) as said:
            date = said.headers.get("date")
        if date is None:
            raise StoreUnavailable(f"{self._client.place} answers without a date: what stands before it takes it off.")
        return parsedate_to_datetime(date).astimezone(UTC)

    async def shape(self) -> Shape:
        """Which columns there are, by asking for each: a project need not describe itself."""
        fields = self._settings.fields
        if not self._types:
            names = [name for name in self._settings.touched if "." not in name]
            found = await asyncio.gather(*(self._has(name) for name in names))
            self._types = dict.fromkeys((name for name, there in zip(names, found, strict=True) if there), "")
            if missing := [name for name in (fields.id, fields.state) if name not in self._types]:
                self._types = {}
                raise SchemaMismatch(
                    f"{self._client.place}: table {self._settings.table} is not there, or has no column "
                    f"{' or '.join(missing)}.",
                    fix="Correct the queue's table and fields in the settings. If the table is new, wait a few "
                    "seconds: Supabase's API has to notice it.",
                )
            self._types |= await self._described()
        return Shape(frozenset(self._types), frozenset({fields.state}))  # whether it has an index cannot be seen

    async def _has(self, name: str) -> bool:
        try:
            await self._client.rows(self._client.table(self._name).select(name).limit(0))
        except SchemaMismatch:
            return False
        return True

    async def _described(self) -> dict[str, str]:
        """Types of the columns, from the project's own description of its API; times, where it gives none."""
        fields = self._settings.fields
        assumed = {name: "timestamp with time zone" for name in fields.times if name in self._types}
        async with self._client.answer("GET", "rest/v1/", headers={"Accept": "application/openapi+json"}) as said:
            whole = said.is_success and await said.aread()
        described = _columns(whole or b"", self._name)
        return assumed | {name: kind for name, kind in described.items() if name in self._types}

    async def count(self, words: Sequence[str], kinds: Collection[str] | None, cap: int) -> int:
        """Two requests, neither of which counts beyond the cap: is there a row at its end? If not, how many are
        there?"""
        await self.shape()
        at_cap = self._filtered(self._table().select(self._settings.fields.id), words, kinds).range(cap - 1, cap - 1)
        if await self._client.rows(at_cap):
            return cap
        counted = self._table().select(self._settings.fields.id, count="exact", head=True)
        return min(cap, await self._client.count(self._filtered(counted, words, kinds)))

    async def select(self, what: Select) -> list[Row]:
        await self.shape()
        request = self._filtered(self._reading(), what.words, what.kinds)
        for name in what.absent:
            request = request.is_(name, "null")
        if what.by is not None:
            request = request.not_.is_(what.by, "null").order(what.by, desc=what.newest)
            if self._types.get(what.by) in TIMES:
                request = request.gte(what.by, EARLIEST.isoformat())  # an earlier one stands for no time
            if what.before is not None:
                request = request.lt(what.by, self._bound(what.by, what.before, WIDEST + timedelta(days=1)))
            if what.after is not None:
                request = request.gt(what.by, self._bound(what.by, what.after, -WIDEST))
        return await self._pages(request.order(self._settings.fields.id), what.limit)

    async def _pages(self, request: Any, limit: int) -> list[Row]:
        """A project gives no more rows at once than its settings say, 1000 as it comes."""
        rows: list[Row] = []
        while len(rows) < limit:
            page = await self._client.rows(request.range(len(rows), limit - 1))
            rows += page
            if len(page) < SHORT:
                break
        return rows

    async def find(self, ids: Sequence[Any]) -> list[Row]:
        await self.shape()
        kind = self._types[self._settings.fields.id]
        listed = [text for one in ids if may_be(text := str(one), kind)]
        chunks = [listed[start : start + IDS] for start in range(0, len(listed), IDS)]

        def some(chunk: Sequence[str]) -> Awaitable[Sequence[Row]]:
            return self._client.rows(self._reading().in_(self._settings.fields.id, chunk))

        return [row for rows in await each(chunks, some, abreast=AT_ONCE) for row in rows]

    async def write(self, writes: Sequence[Write]) -> list[bool]:
        """A request each: PostgREST has none for many rows that change each in its own way."""
        return await each(writes, self._write, abreast=AT_ONCE)

    async def _write(self, write: Write) -> bool:
        table = self._table()
        table.headers = {**table.headers, ACTING: "on"}
        request = table.update(_plain(write.values), count="exact", returning="minimal")
        for name, value in _plain(write.guard).items():
            request = request.is_(name, "null") if value is None else request.eq(name, value)
        return await self._client.count(request) > 0

    def index_statements(self) -> list[str]:
        from gradewatch.stores.postgres.foreign import index_statement

        return [index_statement(self._settings)]

    async def make_indexes(self) -> list[str]:
        raise self._no_ddl()

    def guard_statement(self) -> str:
        from gradewatch.stores.postgres.guard import guard_text

        return guard_text(self._settings)

    async def make_guard(self) -> None:
        raise self._no_ddl()

    def _no_ddl(self) -> AccessDenied:
        editor = self._client.project.sql_editor
        return AccessDenied(
            f"{self._client.place} runs no such statement over its API.",
            fix=f"Print it with --print, and paste it into the SQL editor ({editor}).",
        )

    async def close(self) -> None:
        await self._client.close()

    # ---------------------------------------------------------------- requests

    def _table(self) -> Any:
        return self._client.table(self._name)

    def _reading(self) -> Any:
        names = [name for name in self._settings.touched if name in self._types]
        return self._table().select(*names)

    def _filtered(self, request: Any, words: Sequence[str], kinds: Collection[str] | None) -> Any:
        fields = self._settings.fields
        if words:
            request = request.in_(fields.state, list(words))
        if kinds is not None and fields.kind:
            request = request.in_(fields.kind, list(kinds))
        return request

    def _bound(self, name: str, when: datetime, slack: timedelta) -> str:
        """Where the column is text, a bound that errs on the side of taking a row: whoever asked reads it again."""
        if self._types.get(name) in TIMES:
            return when.astimezone(UTC).isoformat()
        return f"{when.astimezone(UTC) + slack:%Y-%m-%d}"


def _columns(description: bytes, table: str) -> dict[str, str]:
    """The types of a table's columns in a PostgREST description (OpenAPI 2); nothing where it does not tell."""
    import json

    try:
        said = json.loads(description)
        properties = said["definitions"][table]["properties"]
        return {name: str(about.get("format", "")) for name, about in properties.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _plain(values: Row) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}
