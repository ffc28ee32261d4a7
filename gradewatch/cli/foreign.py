"""`gradewatch migrate --indexes` and `--guard`: the two things that are ever made in another application's database."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from gradewatch.cli.output import echo_json

if TYPE_CHECKING:
    from gradewatch.ports import Foreign, Store


def theirs(store: Store, *, indexes: bool, guard: bool, only_print: bool, yes: bool, as_json: bool) -> None:
    """Print what would be run; run it once somebody agrees. UsageError where there is nothing to run it on."""
    from gradewatch.app import foreign_side

    side = foreign_side(store)
    if side is None:
        raise click.UsageError("--indexes and --guard are for queues of other applications; the settings name none.")
    statements = [*(side.index_statements() if indexes else []), *(side.guard_statements() if guard else [])]
    if guard and not side.guard_statements():
        raise click.UsageError(f"{store.kind} has no guard: only PostgreSQL and Supabase do.")
    if as_json and only_print:
        echo_json({"statements": statements})
        return
    if not as_json:
        click.echo("\n".join(statements))
    if only_print:
        return
    if not yes:
        click.confirm("Run this in the application's database?", abort=True, err=True)
    done = asyncio.run(_run(store, side, indexes=indexes, guard=guard))
    if as_json:
        echo_json({"done": done})
        return
    for step in done or ["nothing was missing"]:
        click.echo(f"done: {step}")


async def _run(store: Store, side: Foreign, *, indexes: bool, guard: bool) -> list[str]:
    try:
        done = list(await side.make_indexes()) if indexes else []
        if guard:
            await side.make_guards()
            done.append("guard")
        return done
    finally:
        await store.close()
