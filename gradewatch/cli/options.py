"""Options that several commands share."""

from __future__ import annotations

import click

from gradewatch.cli.invocation import Invocation

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
pass_invocation = click.make_pass_decorator(Invocation)


def duration(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """An option's callback: seconds, written as 90s, 30m or 1h30m."""
    from gradewatch.config import parse_duration
    from gradewatch.config.values import LONGEST

    if value is None:
        return None
    try:
        seconds = parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r}: {error}") from error
    if not 0 < seconds <= LONGEST:
        raise click.BadParameter(f"{value!r}: more than nothing and at most ten years is needed")
    return seconds
