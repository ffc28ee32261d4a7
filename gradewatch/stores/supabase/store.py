"""The store of owned queues in a Supabase project, over PostgREST alone."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from gradewatch.errors import SchemaMismatch
from gradewatch.model import Job
from gradewatch.stores.postgres.functions import FunctionStore
from gradewatch.stores.supabase import keys, migration, schema
from gradewatch.stores.supabase.caller import Rest
from gradewatch.stores.supabase.client import CONNECTIONS, SupabaseClient
from gradewatch.stores.supabase.papers import PaperBucket
from gradewatch.stores.supabase.storage import BUCKET, Bucket

LIVELY, QUIET = 0.25, 1.0  # seconds between two requests for the change token, after a change and later
LIVELY_FOR = 60.0  # seconds that a queue counts as lively after its last change


class SupabaseStore(PaperBucket, FunctionStore):
    """See ports.Store for what each method promises.

    `url` is the project's and `key` its secret or service_role key; `timeout` the deadline of one call in seconds.
    `database_url` is the project's direct connection, for `migrate` alone. An instance belongs to one event loop.
    """

    kind = "supabase"

    def __init__(
        self, url: str, key: str, *, timeout: float = 5.0, connections: int = CONNECTIONS, database_url: str = ""
    ) -> None:
        self.client = SupabaseClient(url, key, timeout=timeout, connections=connections)
        self.place = self.client.place
        self.bucket = Bucket(self.client)
        self._database_url = database_url
        self._token: object = None
        self._asked = self._changed = float("-inf")  # loop times
        self._caller: Rest
        super().__init__(Rest(self.client))

    async def open(self) -> None:
        """Ask once. Raises AccessDenied for a key that cannot serve, SchemaMismatch when the schema is absent, older or
        newer; creates nothing."""
        await self.check([])

    async def close(self) -> None:
        await self.client.close()

    def _verify(self, facts: Mapping[str, Any]) -> tuple[str, ...]:
        """Who we are, and whether rows are hidden from us, comes first: seen so, a full store looks empty."""
        if facts["role"] != keys.ROLE:
            raise self.client.faults.unfit_key(f"acts as {facts['role']!r}, not as service_role")
        if facts["hidden"]:
            raise self.client.faults.denied(
                f"row-level security hides the rows of {', '.join(facts['hidden'])} from Gradewatch's own functions: "
                "tables and functions have different owners, or row-level security is forced",
                f"As the tables' owner, in the SQL editor ({self.client.project.sql_editor}): ALTER TABLE gradewatch."
                f"{facts['hidden'][0]} NO FORCE ROW LEVEL SECURITY, and so on, and run `gradewatch migrate --print`.",
            )
        try:
            missing = super()._verify(facts)
        except SchemaMismatch as error:
            raise SchemaMismatch(str(error), fix=self.client.faults.paste) from None
        if facts["api"] != schema.digest():
            raise self.client.faults.misfit("its functions are those of another version of gradewatch")
        return (*missing, *schema.missing_indexes(facts))

    # ---------------------------------------------------------------- wake-up

    async def claim(self, session_id: str, queues: Sequence[str], kinds: Collection[str], limit: int) -> list[Job]:
        jobs = await super().claim(session_id, queues, kinds, limit)
        self._asked = asyncio.get_running_loop().time()
        return jobs

    async def change_token(self) -> object:
        """A sum that every change of a job changes, as it was a moment ago: a request costs more here than elsewhere.

        It is asked for anew only when this handle has neither asked nor claimed for a while. An old token errs to the
        safe side: whatever happened since it was read will change it.
        """
        now = asyncio.get_running_loop().time()
        if now - self._asked >= (LIVELY if now - self._changed < LIVELY_FOR else QUIET):
            self._asked = now
            token = await self._caller.call("changes")
            if token != self._token:
                self._token, self._changed = token, now
        return self._token

    # ---------------------------------------------------------------- migration

    async def migrate(self) -> list[str]:
        """Create or upgrade the tables where a direct connection is known, and the bucket. Raises SchemaMismatch where
        there is no such connection and the tables are not as they should be."""
        self.client.verify_key()
        done: list[str] = []
        try:
            if missing := (await self.check([])).missing_indexes:
                raise self.client.faults.misfit(f"it lacks the indexes {', '.join(missing)}")
        except SchemaMismatch as error:
            if not self._database_url:
                raise SchemaMismatch(f"{error} PostgREST cannot create tables.", fix=error.fix) from error
            done += await migration.run_sql(self._database_url, self.client)
            await migration.noticed(lambda: self.check([]))
        if await self.bucket.prepare():
            done.append(f"bucket {BUCKET}")
        return done

    def migration_text(self) -> str:
        return schema.migration_text()
