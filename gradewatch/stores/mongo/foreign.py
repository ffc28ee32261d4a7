"""Another application's collection. Reads and guarded writes of its documents; creates nothing but the indexes that
`migrate --indexes` is told to."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from bson import ObjectId
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo import ReadPreference, UpdateOne
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from gradewatch.config.foreign import ForeignSettings
from gradewatch.errors import AccessDenied, GradewatchError, PayloadError, SchemaMismatch, StoreUnavailable
from gradewatch.stores.chunks import each
from gradewatch.stores.mapping.row import value
from gradewatch.stores.mapping.table import Row, Select, Shape, Write
from gradewatch.stores.mapping.times import EARLIEST, Unreadable, read_time
from gradewatch.stores.mongo import collection, moments
from gradewatch.stores.mongo.address import Address
from gradewatch.stores.mongo.database import MAJORITY, Database
from gradewatch.stores.mongo.either import listed, settle

INDEX_BUILD = 600.0  # seconds that an index on a large collection may take
AT_ONCE = 16  # single updates under way
CHEAP, RARELY = 0.05, 20.0  # seconds of a look for rare forms that are always spent; how rarely a longer one is taken
TOGETHER = 200  # updates tried in one transaction
# A time beyond what Python knows, or text that is none, must not keep the other documents from being read.
_CODEC: CodecOptions[dict[str, Any]] = CodecOptions(
    tz_aware=True,
    tzinfo=UTC,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
    unicode_decode_error_handler="replace",
)


class MongoTable:
    """See ForeignTable for what each method promises."""

    kind = "mongo"
    exact_times = True  # the server reads times of any type, see `moments`

    def __init__(self, url: str, settings: ForeignSettings, *, timeout: float) -> None:
        self._address = Address(url)
        self._database = Database(self._address, timeout=timeout)
        self._timeout = timeout
        self._settings = settings
        self._none_until: dict[tuple[str, ...], float] = {}  # by field and words, see _rare
        self._keys: frozenset[tuple[str, ...]] = frozenset()  # of the collection's indexes

    @property
    def _place(self) -> str:
        return f"{self._address.shown}: collection {self._settings.table}"

    @property
    def _rows(self) -> Any:
        """Read from the primary: what a secondary has not heard of yet would be repaired once more."""
        return self._database.handle[self._settings.table].with_options(
            codec_options=_CODEC,
            read_preference=ReadPreference.PRIMARY,
            read_concern=ReadConcern("local"),
            write_concern=MAJORITY,
        )

    @asynccontextmanager
    async def _call(self, seconds: float | None = None) -> AsyncIterator[None]:
        try:
            async with self._database.call(seconds):
                yield
        except (AccessDenied, SchemaMismatch) as error:
            said = str(error).partition(" docs/mongodb.md")[0].removeprefix(f"{self._address.shown}: ")
            raise type(error)(
                f"{self._place}: {said} The user must be allowed `find` and `update` on it, as the role readWrite is."
            ) from error
        except PayloadError as error:
            raise StoreUnavailable(f"{self._place}: {error}") from error

    async def now(self) -> datetime:
        async with self._call():
            local: datetime = (await settle(self._database.handle.command("hello")))["localTime"]
        return local if local.tzinfo else local.replace(tzinfo=UTC)

    # ---------------------------------------------------------------- what it is like

    async def shape(self) -> Shape:
        async with self._call():
            there = self._database.handle, self._settings.table, self._place
            await collection.exists(*there)
            await collection.allows(*there)
            found = await collection.indexed(self._rows)
        fields = self._settings.fields
        # Where they cannot be seen, nothing is claimed to be missing, and nothing relied on.
        self._keys = frozenset({(fields.state,), (fields.id,)}) if found is None else found
        return Shape(None, frozenset(keys[0] for keys in self._keys))

    # ---------------------------------------------------------------- reads

    async def count(self, words: Sequence[str], kinds: Collection[str] | None, cap: int) -> int:
        if cap <= 0:
            return 0
        async with self._call():
            return int(await settle(self._rows.count_documents(self._in(words, kinds), limit=cap)))

    async def select(self, what: Select) -> list[Row]:
        if what.limit <= 0:
            return []
        absent = [moments.is_strange(name) if what.strange else {name: None} for name in what.absent]
        base = {"$and": [self._in(what.words, what.kinds), *absent]}
        if what.by is None:
            return await self._aggregated([{"$match": base}, {"$limit": what.limit}, *self._projected()])
        if not what.words or (self._settings.fields.state, what.by) not in {keys[:2] for keys in self._keys}:
            first = [] if what.words else self._latest(what.limit)
            return await self._aggregated([*first, *self._sorted(what, base, {}), *self._projected()])
        rows = await self._aggregated([*self._by_index(what, base), *self._projected()])
        return rows if what.newest else self._merged(what, rows, await self._rare(what, base))

    @staticmethod
    def _latest(limit: int) -> list[Any]:
        """Whatever the state: the documents inserted last, for to sort all of them would take too long."""
        return [{"$sort": {"_id": -1}}, {"$limit": 4 * limit}]

    def _sorted(self, what: Select, base: Any, condition: Any) -> list[Any]:
        """Every document that fits is read, and the first of them kept."""
        assert what.by is not None
        exact = moments.within(what.by, what.before, what.after)
        ordered = moments.in_order(what.by, newest=what.newest, limit=what.limit)
        return [{"$match": {"$and": [base, condition, exact]}}, *self._projected(*what.absent, what.by), *ordered]

    def _by_index(self, what: Select, base: Any) -> list[Any]:
        """A pipeline for each type of time, which stops once it has enough; joined into one."""
        assert what.by is not None
        exact = moments.within(what.by, what.before, what.after)
        conditions = (moments.shown if what.newest else moments.brackets)(what.by, what.before, what.after)
        order = [{"$sort": {what.by: -1 if what.newest else 1}}, {"$limit": what.limit}]
        parts = [[{"$match": {"$and": [base, condition, exact]}}, *order] for condition in conditions]
        joined = [{"$unionWith": {"coll": self._settings.table, "pipeline": part}} for part in parts[1:]]
        return [*parts[0], *joined, *moments.in_order(what.by, newest=what.newest, limit=what.limit)]

    async def _rare(self, what: Select, base: Any) -> list[Row]:
        """Documents whose time is text in a form that no index sorts. Each text has to be looked at: where none was
        found and that took long, it is not done again for a while, so that it takes a twentieth of the time at most."""
        assert what.by is not None
        key, began = (what.by, *what.words), time.monotonic()
        if began < self._none_until.get(key, 0.0):
            return []
        found = await self._aggregated([*self._sorted(what, base, moments.rare(what.by)), *self._projected()])
        took = time.monotonic() - began
        self._none_until[key] = 0.0 if found or took < CHEAP else began + RARELY * took
        return found

    @staticmethod
    def _merged(what: Select, rows: list[Row], more: list[Row]) -> list[Row]:
        by = what.by or ""

        def when(row: Row) -> datetime:
            try:
                return read_time(value(row, by)) or EARLIEST
            except Unreadable:  # what only the server takes for a time: whoever asked leaves it out
                return EARLIEST

        return sorted([*rows, *more], key=when)[: what.limit]

    async def find(self, ids: Sequence[Any]) -> list[Row]:
        wanted = [form for one in ids for form in _forms(one)]
        if not wanted:
            return []
        match = {"$match": {self._settings.fields.id: {"$in": wanted}}}
        return await self._aggregated([match, *self._projected()])

    async def _aggregated(self, stages: Sequence[Any]) -> list[Row]:
        async with self._call():
            found: list[Row] = await listed(self._rows.aggregate(list(stages)))
            return found

    def _in(self, words: Sequence[str], kinds: Collection[str] | None) -> dict[str, Any]:
        fields = self._settings.fields
        match: dict[str, Any] = {fields.state: {"$in": list(words), "$not": {"$type": "array"}}} if words else {}
        if kinds is not None and fields.kind:
            match[fields.kind] = {"$in": list(kinds)}
        return match

    def _projected(self, *more: str) -> list[Any]:
        names = dict.fromkeys((*self._settings.touched, *more))
        outermost = [name for name in names if not any(name.startswith(f"{other}.") for other in names)]
        return [{"$project": dict.fromkeys(outermost, 1)}]

    # ---------------------------------------------------------------- writes

    async def write(self, writes: Sequence[Write]) -> list[bool]:
        """Many in one transaction, which counts only if every guard held: a batch tells no more than how many did.
        Where one did not, or the server has no transactions, each by itself."""
        done: list[bool] = []
        async with self._call():
            alone = not await self._database.replicated()
            for start in range(0, len(writes), TOGETHER):
                batch = writes[start : start + TOGETHER]
                if not alone and len(batch) > 1 and await self._all_of(batch):
                    done += [True] * len(batch)
                else:
                    done += await self._each_of(batch)
        return done

    async def _all_of(self, batch: Sequence[Write]) -> bool:
        updates: list[Any] = [UpdateOne(self._guarded(write.guard), {"$set": dict(write.values)}) for write in batch]
        rows = self._database.handle[self._settings.table]  # the transaction has its own concerns

        async def work(session: Any) -> None:
            made = await settle(rows.bulk_write(updates, ordered=False, session=session))
            if made.matched_count != len(updates):
                raise _GuardMissed

        try:
            await self._database.transact(work, again=False)
        except _GuardMissed:
            return False
        except PyMongoError as error:
            if error.has_error_label("TransientTransactionError"):
                return False  # somebody else wrote one of them: none was changed
            raise
        return True

    async def _each_of(self, batch: Sequence[Write]) -> list[bool]:
        async def one(write: Write) -> bool:
            made = await settle(self._rows.update_one(self._guarded(write.guard), {"$set": dict(write.values)}))
            return bool(made.matched_count)

        return await each(batch, one, abreast=AT_ONCE)

    def _guarded(self, guard: Row) -> dict[str, Any]:
        """Each field exactly as it was read, its type with it: a query alone would take a list that holds the value."""
        key = "_id" if "_id" in guard else self._settings.fields.id
        same = [{"$eq": [{"$ifNull": [f"${name}", None]}, {"$literal": value}]} for name, value in guard.items()]
        return {key: guard[key], "$expr": {"$and": same}}

    # ---------------------------------------------------------------- indexes

    def _wanted(self) -> list[tuple[str, ...]]:
        fields = self._settings.fields
        wanted = [(fields.state, name) for name in (fields.created[0], *fields.started[:1])]
        return [*wanted, (fields.id,)]

    def _missing(self) -> list[tuple[str, ...]]:
        return [keys for keys in self._wanted() if keys not in {have[: len(keys)] for have in self._keys}]

    def index_statements(self) -> list[str]:
        said = ("{" + ", ".join(f'"{name}": 1' for name in keys) + "}" for keys in self._wanted())
        return [f'db.getCollection("{self._settings.table}").createIndex({keys});' for keys in said]

    async def make_indexes(self) -> list[str]:
        await self.shape()
        statements = dict(zip(self._wanted(), self.index_statements(), strict=True))
        done = []
        for keys in self._missing():
            async with self._call(INDEX_BUILD):
                await settle(self._rows.create_index([(name, 1) for name in keys]))
            done.append(statements[keys])
        await self.shape()
        return done

    def guard_statement(self) -> str:
        """None: MongoDB has no triggers. A late write is told of when it is seen."""
        return ""

    async def make_guard(self) -> None:
        raise AccessDenied(f"{self._place}: MongoDB has no guard against late writes.")

    async def close(self) -> None:
        await self._database.close()


class _GuardMissed(GradewatchError):
    """Within a transaction: one of its guards did not hold."""


def _forms(one: Any) -> list[Any]:
    """An id as it may be stored, from how it is written."""
    forms = [one]
    if isinstance(one, str):
        if ObjectId.is_valid(one):
            forms.append(ObjectId(one))
        if one.removeprefix("-").isdecimal() and len(one) <= 19 and -(2**63) <= int(one) < 2**63:
            forms.append(int(one))
    return forms
