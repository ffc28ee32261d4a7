"""`gradewatch watch`: the watch without workers, for ever or for one cycle."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from gradewatch.cli.invocation import Invocation
from gradewatch.cli.options import as_json, pass_invocation

if TYPE_CHECKING:
    from gradewatch.config import Settings


@click.command()
@click.option("--once", is_flag=True, help="Run one acting cycle, print it, and end.")
@click.option("--dry-run", is_flag=True, help="Decide and record, change nothing.")
@as_json
@pass_invocation
@click.pass_context
def watch(ctx: click.Context, invocation: Invocation, once: bool, dry_run: bool, as_json: bool) -> None:
    """Say why a queue is stuck, and repair it.

    It also serves metrics, health and the API.

    With --once it exits with 0 when all is healthy, 1 with findings, 2 when it cannot tell.
    """
    if as_json and not once:
        raise click.UsageError("--json goes with --once: without it, the log lines are the output (--log-format json)")
    if once:
        ctx.exit(_once(invocation, dry_run, as_json))
    from gradewatch.cli.signals import serve

    settings = _rehearsed(invocation.service_settings(), dry_run)
    ctx.exit(serve(lambda stop, hurry: _watch(settings, invocation, stop, hurry)))


async def _watch(settings: Settings, invocation: Invocation, stop: asyncio.Event, hurry: asyncio.Event) -> None:
    from gradewatch import app
    from gradewatch.cli.embedded import prepare_store
    from gradewatch.cli.signals import cut_short

    await prepare_store(settings)
    await cut_short(app.watch(settings, environ=invocation.environ, stop=stop, config=invocation.config), hurry)


def _once(invocation: Invocation, dry_run: bool, as_json: bool) -> int:
    from gradewatch import app
    from gradewatch.cli import report as reports
    from gradewatch.cli.embedded import prepare_store

    settings = invocation.settings(log_level="error")

    async def cycle() -> reports.CycleReport:
        await prepare_store(settings)
        return await app.once(settings, environ=invocation.environ, dry_run=dry_run)

    report = asyncio.run(cycle())
    if as_json:
        reports.echo_as_json(report, acted=True)
    else:
        reports.echo_report(report)
        reports.echo_results(report)
    return reports.exit_code(report)


def _rehearsed(settings: Settings, dry_run: bool) -> Settings:
    from dataclasses import replace

    return replace(settings, remediation=replace(settings.remediation, mode="dry-run")) if dry_run else settings
