"""A handle on the database: its collections, the deadline of a call, its clock, its transactions."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC
from typing import Any, TypeVar

import pymongo
from bson.codec_options import CodecOptions
from bson.errors import BSONError
from pymongo import ReadPreference, WriteConcern
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from gradewatch.stores.mongo import faults
from gradewatch.stores.mongo.abandoned import APP, Abandoned
from gradewatch.stores.mongo.address import Address
from gradewatch.stores.mongo.either import settle
from gradewatch.stores.mongo.encode import micros_of

T = TypeVar("T")

PREFIX = "gradewatch_"
POOL = 10  # connections of one handle at most
GRACE = 0.5  # seconds that a call may take beyond its deadline: the driver says more exactly what it waited for
MAJORITY, QUICK = WriteConcern("majority"), WriteConcern(1)
SNAPSHOT, LOCAL = ReadConcern("snapshot"), ReadConcern("local")
TRANSIENT, UNKNOWN = "TransientTransactionError", "UnknownTransactionCommitResult"

Clock = Callable[[], int]


class Database:
    """`handle` is a database of either driver; None: one is made of the URL, by PyMongo, in the loop of the first call.

    Writes are acknowledged by the majority, but for those made through `quick`. `clock` stands for the store's clock,
    in microseconds since the epoch; without one it is the server's.
    """

    def __init__(self, address: Address, *, timeout: float, clock: Clock | None = None, handle: Any = None) -> None:
        self.address = address
        self.timeout = timeout
        self.clock = clock
        self._ours = handle is None
        self._handle = handle
        self._replicated: bool | None = None
        self._collections: dict[tuple[str, bool], Any] = {}
        self._abandoned = Abandoned(timeout + GRACE)  # no call, and no transaction of one, takes longer

    @property
    def handle(self) -> Any:
        if self._handle is None:
            client: Any = pymongo.AsyncMongoClient(
                self.address.url,
                appname=APP,
                maxPoolSize=POOL,
                retryWrites=True,
                timeoutMS=round(self.timeout * 1000),
                connectTimeoutMS=round(self.timeout * 1000),
            )
            self._handle = client[self.address.database]
        return self._handle

    async def close(self) -> None:
        """A handle that was given is its giver's to close."""
        if self._ours and self._handle is not None:
            await settle(self._handle.client.close())
            self._handle = None
        self._collections.clear()

    # ---------------------------------------------------------------- collections

    def __getattr__(self, name: str) -> Any:
        """`database.jobs` is the collection `gradewatch_jobs`."""
        if name.startswith("_"):
            raise AttributeError(name)
        return self.collection(name)

    def quick(self, name: str) -> Any:
        """The collection, its writes acknowledged by the primary alone: for what may be lost with it, and for what is
        followed by a write that the majority acknowledges, which vouches for all before it."""
        return self.collection(name, quick=True)

    def collection(self, name: str, *, quick: bool = False) -> Any:
        if (name, quick) not in self._collections:
            self._collections[name, quick] = self.handle[PREFIX + name].with_options(
                codec_options=CodecOptions(),
                read_preference=ReadPreference.PRIMARY,
                read_concern=LOCAL,
                write_concern=QUICK if quick else MAJORITY,
            )
        return self._collections[name, quick]

    # ---------------------------------------------------------------- time

    @property
    def moment(self) -> Any:
        """The store's time as an expression: for a pipeline that reads it where the data is."""
        if self.clock is not None:
            return {"$toLong": self.clock()}
        return {"$multiply": [{"$toLong": "$$NOW"}, 1000]}

    async def now(self) -> int:
        """The store's time, in microseconds since the epoch."""
        if self.clock is not None:
            return self.clock()
        local = (await settle(self.handle.command("hello")))["localTime"]
        return micros_of(local if local.tzinfo else local.replace(tzinfo=UTC))

    async def tick(self, name: str, count: int) -> tuple[int, int]:
        """The store's time, and the first of `count` numbers that nobody else is given under that name. The highest
        time ever told is kept beside them: where the clock was stepped back, that shows."""
        moment = self.moment
        numbered = {name: {"$add": [{"$ifNull": [f"${name}", 0]}, count]}} if count else {}
        done = await self.quick("meta").find_one_and_update(
            {"_id": "ticks"},
            [{"$set": {**numbered, "now": moment, "high": {"$max": ["$high", moment]}}}],
            upsert=True,
            return_document=True,
        )
        return int(done["now"]), int(done.get(name, 0)) - count + 1

    # ---------------------------------------------------------------- calls and transactions

    @asynccontextmanager
    async def call(self, seconds: float | None = None) -> AsyncIterator[None]:
        """One deadline for all that is done in it, on the server too; the driver's errors become the project's."""
        limit = self.timeout if seconds is None else seconds
        try:
            with pymongo.timeout(limit):
                async with asyncio.timeout(limit + GRACE):
                    yield
        except TimeoutError as error:
            raise faults.timed_out(self.address, limit) from error
        except (PyMongoError, BSONError) as error:
            raise faults.translate(error, self.address, limit) from error

    async def replicated(self) -> bool:
        """Has the server transactions and change streams? A standalone one has neither."""
        if self._replicated is None:
            hello = await settle(self.handle.command("hello"))
            self._replicated = "setName" in hello or hello.get("msg") == "isdbgrid"
        return self._replicated

    async def transact(
        self, work: Callable[[Any], Awaitable[T]], *, again: bool = True, concern: WriteConcern = MAJORITY
    ) -> T:
        """Do `work` in a transaction, whose session it is given; anew where another write came between, unless `again`
        is False. On a standalone server its steps are done one by one, and the session is None."""
        if not await self.replicated():
            return await work(None)
        loop = asyncio.get_running_loop()
        until, attempt = loop.time() + self.timeout, 0
        while True:
            try:
                return await self._once(work, concern, until)
            except PyMongoError as error:
                if faults.code_of(error) == faults.WRITE_CONFLICT:
                    await self._abandoned.end(self.handle.client)
                if not again or not error.has_error_label(TRANSIENT) or loop.time() > until:
                    raise
            attempt += 1
            await asyncio.sleep(random.uniform(0, min(0.1, 0.002 * 2**attempt)))

    async def _once(self, work: Callable[[Any], Awaitable[T]], concern: WriteConcern, until: float) -> T:
        session = await settle(self.handle.client.start_session())
        try:
            await settle(
                session.start_transaction(
                    read_concern=SNAPSHOT, write_concern=concern, read_preference=ReadPreference.PRIMARY
                )
            )
            answer = await work(session)
            await self._commit(session, until)
            return answer
        finally:
            if session.in_transaction:
                with suppress(PyMongoError):  # the server ends by itself what it is not told to end
                    await settle(session.abort_transaction())
            await settle(session.end_session())

    async def _commit(self, session: Any, until: float) -> None:
        """Asked again, the server tells what became of the first time: as often as there is time for."""
        while True:
            try:
                await settle(session.commit_transaction())
                return
            except PyMongoError as error:
                if not error.has_error_label(UNKNOWN) or asyncio.get_running_loop().time() > until:
                    raise
            await asyncio.sleep(0.02)
