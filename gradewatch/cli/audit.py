"""`gradewatch audit`: what was repaired, by whom, and why."""

from __future__ import annotations

import click

from gradewatch.cli.invocation import Invocation
from gradewatch.cli.options import as_json, pass_invocation
from gradewatch.cli.output import echo_json, echo_table, moment

MOST = 1000


@click.command()
@click.option("--limit", type=click.IntRange(1, MOST), default=50, show_default=True, help="At most so many.")
@click.option("--sweep", help="Only what this sweep did.")
@click.option("--job", help="Only what was done to this job.")
@as_json
@pass_invocation
def audit(invocation: Invocation, limit: int, sweep: str | None, job: str | None, as_json: bool) -> None:
    """The audit trail, newest first. `gradewatch undo SWEEP` takes the id in the second column."""
    entries = invocation.ask(lambda store: store.audit(limit=limit, sweep=sweep, subject=job))
    if as_json:
        from gradewatch.http import wire

        echo_json([wire.audit_line(entry) for entry in entries])
        return
    if not entries:
        click.echo("Nothing of the kind is in the audit trail.")
        return
    rows = [
        (
            moment(entry.at),
            entry.sweep,
            entry.action,
            entry.subject,
            entry.queue,
            entry.outcome.value + (", undone" if entry.undone_at else ""),
            entry.reason,
            entry.by,
            entry.message,
        )
        for entry in entries
    ]
    echo_table(("at (UTC)", "sweep", "action", "subject", "queue", "outcome", "reason", "by", "message"), rows)
