"""`gradewatch run` and `gradewatch worker`: commands that stay until they are told to stop."""

from __future__ import annotations

import asyncio

import click

from gradewatch.cli.invocation import Invocation
from gradewatch.cli.options import pass_invocation


@click.command()
@pass_invocation
@click.pass_context
def run(ctx: click.Context, invocation: Invocation) -> None:
    """Worker, watch and HTTP in one.

    Without settings it works on SQLite in ./gradewatch.db, which it creates. SIGTERM or Ctrl-C drains the workers; a
    second one cuts that short.
    """
    from gradewatch import app
    from gradewatch.cli.embedded import prepare_store
    from gradewatch.cli.signals import cut_short, serve

    settings = invocation.service_settings()

    async def service(stop: asyncio.Event, hurry: asyncio.Event) -> None:
        await prepare_store(settings)
        running = app.run(settings, config=invocation.config, environ=invocation.environ, stop=stop)
        await cut_short(running, hurry)

    ctx.exit(serve(service))


@click.command()
@click.option("--rescue", multiple=True, hidden=True, metavar="QUEUE", help="Work this queue as a rescue worker.")
@pass_invocation
@click.pass_context
def worker(ctx: click.Context, invocation: Invocation, rescue: tuple[str, ...]) -> None:
    """One worker: claims jobs, grades papers, beats its heart.

    SIGTERM or Ctrl-C drains it: running jobs get `worker.drain` to finish, then go back to the queue at once, with
    every graded paper kept. A second signal gives them back immediately.
    """
    from gradewatch import app
    from gradewatch.cli.embedded import prepare_store
    from gradewatch.cli.signals import serve

    settings = invocation.service_settings()

    async def service(stop: asyncio.Event, hurry: asyncio.Event) -> None:
        await prepare_store(settings)
        await app.work(settings, stop=stop, hurry=hurry, rescue=rescue)

    ctx.exit(serve(service))
