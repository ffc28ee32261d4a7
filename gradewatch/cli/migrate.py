"""`gradewatch migrate`: create or upgrade what the store needs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from gradewatch.cli.foreign import theirs
from gradewatch.cli.invocation import Invocation
from gradewatch.cli.options import as_json, pass_invocation
from gradewatch.cli.output import echo_json

if TYPE_CHECKING:
    from gradewatch.ports import Store


@click.command()
@click.option("--print", "only_print", is_flag=True, help="Print what would be run, and change nothing.")
@click.option("--indexes", is_flag=True, help="Only the indexes that probes of another application's queues need.")
@click.option("--guard", is_flag=True, help="Only the guard that refuses late writes to another application's jobs.")
@click.option("--yes", is_flag=True, help="With --indexes or --guard: do not ask first.")
@as_json
@pass_invocation
def migrate(invocation: Invocation, only_print: bool, indexes: bool, guard: bool, yes: bool, as_json: bool) -> None:
    """Create or upgrade the store's tables and indexes. Safe to run again, and from several processes.

    Another application's tables are never touched, but with --indexes or --guard, which print what they are about to
    run and ask.
    """
    from gradewatch.app import make_store

    settings = invocation.settings()
    store = make_store(settings, to_open=not only_print)
    if indexes or guard:
        theirs(store, indexes=indexes, guard=guard, only_print=only_print, yes=yes, as_json=as_json)
        return
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
