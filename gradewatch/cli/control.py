"""`gradewatch pause` and `gradewatch resume`: hold the repairs while a person works, and let them go on."""

from __future__ import annotations

import click

from gradewatch.cli.invocation import Invocation, operator
from gradewatch.cli.options import as_json, duration, pass_invocation
from gradewatch.cli.output import echo_json, lasting, moment


@click.command()
@click.option(
    "--for", "seconds", metavar="DURATION", callback=duration, help="Resume by itself after this, such as 30m."
)
@click.option("--reason", default="", help="Why, for whoever finds the repairs paused.")
@as_json
@pass_invocation
def pause(invocation: Invocation, seconds: float | None, reason: str, as_json: bool) -> None:
    """Hold all repairs. Observation goes on, workers go on, and the time is credited to every waiting job."""
    paused = invocation.ask(lambda store: store.pause(seconds, by=operator(), reason=reason))
    if as_json:
        echo_json(paused)
    elif paused.until is None or seconds is None:
        click.echo("Repairs are paused until somebody resumes them: gradewatch resume")
    else:
        click.echo(f"Repairs are paused for {lasting(seconds)}, until {moment(paused.until)} UTC.")


@click.command()
@as_json
@pass_invocation
def resume(invocation: Invocation, as_json: bool) -> None:
    """Let the repairs go on. Restarts that were given up on are tried again."""
    was_paused = invocation.ask(lambda store: store.resume(by=operator()))
    if as_json:
        echo_json({"was_paused": was_paused})
    else:
        click.echo("Repairs go on." if was_paused else "Nothing was paused; restarts given up on are tried again.")
