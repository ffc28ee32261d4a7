"""Making the schema of a Supabase project. PostgREST runs no DDL: that takes the SQL editor, or a direct connection."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from gradewatch.errors import SchemaMismatch
from gradewatch.stores.postgres import schema as base
from gradewatch.stores.supabase import schema
from gradewatch.stores.supabase.client import SupabaseClient
from gradewatch.stores.supabase.project import Project

SECONDS = 60.0  # a migration may take: it may have to build an index over a large table
NOTICED = 15.0  # seconds PostgREST may take to see new functions
LOOK = 0.2


async def run_sql(url: str, client: SupabaseClient) -> list[str]:
    """Run all of it over a direct connection; returns the names of what was run. Raises store errors, SchemaMismatch
    where that connection is not the project's."""
    project = client.project
    _same(project, url)
    try:
        import psycopg

        from gradewatch.stores.postgres import faults
        from gradewatch.stores.postgres.address import Address
        from gradewatch.stores.postgres.connections import connect
    except ImportError as error:
        raise SchemaMismatch(
            f"{project.shown}: DATABASE_URL needs a library ({error}).", fix="Run pip install 'gradewatch[postgres]'."
        ) from error
    try:
        address = Address(url)
    except ValueError as error:
        raise SchemaMismatch(f"DATABASE_URL: {error}.", fix="Correct or unset it.") from error
    connection = await connect(address, client.timeout)
    try:
        async with asyncio.timeout(SECONDS):
            await connection.execute(schema.migration_text().encode())
    except TimeoutError:
        raise faults.timed_out(address, SECONDS) from None
    except psycopg.Error as error:
        if error.sqlstate == "P0001":  # one of the script's own refusals
            raise SchemaMismatch(f"{address.shown}: {error.diag.message_primary}.") from error
        raise faults.translate(error, address) from error
    finally:
        await connection.close()
    return [name for name, _ in (*base.scripts(), *schema.scripts())] + ["supabase/api"]


def _same(project: Project, url: str) -> None:
    if project.ref and project.ref not in url:
        raise SchemaMismatch(
            f"{project.shown} and DATABASE_URL are not the same project: nothing was run.",
            fix=f"Set DATABASE_URL to the connection string of {project.dashboard('?showConnect=true')}, or unset it.",
        )


async def noticed(check: Callable[[], Awaitable[object]]) -> None:
    """Wait until PostgREST shows what was just made. Raises what `check` raises when it does not."""
    loop = asyncio.get_running_loop()
    until = loop.time() + NOTICED
    while True:
        try:
            await check()
            return
        except SchemaMismatch:
            if loop.time() > until:
                raise
            await asyncio.sleep(LOOK)
