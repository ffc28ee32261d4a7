"""The command `gradewatch` itself: its global options and the table of its commands."""

from __future__ import annotations

import os
from pathlib import Path

import click

from gradewatch.cli.group import RootGroup
from gradewatch.cli.invocation import Invocation
from gradewatch.version import __version__

COMMANDS = {
    "run": "services:run",
    "worker": "services:worker",
    "watch": "watch:watch",
    "submit": "submit:submit",
    "doctor": "doctor:doctor",
    "jobs": "jobs:jobs",
    "pause": "control:pause",
    "resume": "control:resume",
    "undo": "undo:undo",
    "audit": "audit:audit",
    "check-config": "check_config:check_config",
    "migrate": "migrate:migrate",
    "demo": "demo:demo",
}


@click.group(cls=RootGroup, lazy=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="gradewatch", message="%(prog)s %(version)s")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Settings file; else GRADEWATCH_CONFIG, else ./gradewatch.toml if there is one.",
)
@click.option("-v", "--verbose", is_flag=True, help="Log everything.")
@click.option(
    "--log-format",
    type=click.Choice(["auto", "console", "json"]),
    help="Form of the log lines on standard error; auto: console on a terminal, else JSON.",
)
@click.pass_context
def root(ctx: click.Context, config: Path | None, verbose: bool, log_format: str | None) -> None:
    """Grade exam papers from a queue, and watch that the queue never gets stuck unseen.

    Exit codes: 0 done or healthy, 1 findings or a job that failed, 2 cannot tell or misconfigured.
    """
    ctx.obj = Invocation(config, verbose, log_format, os.environ)
    if os.environ.get("NO_COLOR"):
        ctx.color = False
