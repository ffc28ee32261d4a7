"""`gradewatch doctor`: why is nothing happening?"""

from __future__ import annotations

import asyncio

import click

from gradewatch.cli.invocation import Invocation
from gradewatch.cli.options import as_json, pass_invocation
from gradewatch.errors import ConfigError, GradewatchError


@click.command()
@as_json
@pass_invocation
@click.pass_context
def doctor(ctx: click.Context, invocation: Invocation, as_json: bool) -> None:
    """Say what is wrong and what to do; change nothing.

    Exit code: 0 healthy, 1 findings, 2 cannot tell or misconfigured.
    """
    from gradewatch import app
    from gradewatch.cli import report as reports
    from gradewatch.cli.rights import Checked, checked

    async def look() -> tuple[reports.CycleReport, Checked]:
        report = await app.look(settings, environ=invocation.environ)
        return report, await checked(app.rights(settings, environ=invocation.environ))

    try:
        settings = invocation.settings()
        report, rights = asyncio.run(look())
    except GradewatchError as error:
        if as_json:
            _echo_refusal(error)
        raise
    code = rights.exit_code(reports.exit_code(report))
    if as_json:
        reports.echo_as_json(report, code=code, **rights.as_json())
    else:
        reports.echo_report(report)
        rights.echo()
    ctx.exit(code)


def _echo_refusal(error: GradewatchError) -> None:
    from gradewatch.cli.output import echo_json

    misconfigured = isinstance(error, ConfigError)
    problems = error.problems if isinstance(error, ConfigError) else (str(error),)
    echo_json({"status": "misconfigured" if misconfigured else "cannot_tell", "errors": problems, "findings": []})
