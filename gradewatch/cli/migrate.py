"""`gradewatch migrate`: create or upgrade what the store needs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from gradewatch.cli.invocation import Invocation
from gradewatch.cli.options import as_json, pass_invocation
from gradewatch.cli.output import echo_json

if TYPE_CHECKING:
    from gradewatch.ports import Store


@click.command()
@click.option("--print", "only_print", is_flag=True, help="Print what would be run, and change nothing.")
@as_json
@pass_invocation
def migrate(invocation: Invocation, only_print: bool, as_json: bool) -> None:
    """Create or upgrade the store's tables and indexes. Safe to run again, and from several processes."""
    from gradewatch.app import make_store

    settings = invocation.settings()
    store = make_store(settings, to_open=not only_print)
    if only_print:
        text = store.migration_text()
        click.echo(text) if not as_json else echo_json({"migration": text})
        return
    done = asyncio.run(_migrate(store))
    if as_json:
        echo_json({"store": store.kind, "done": done})
        return
    for step in done:
        click.echo(f"done: {step}")
    click.echo(f"The {store.kind} store is ready." if done else f"The {store.kind} store was ready already.")


async def _migrate(store: Store) -> list[str]:
    try:
        return await store.migrate()
    finally:
        await store.close()
