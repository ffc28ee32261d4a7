"""`gradewatch undo`: put back what one sweep changed, where it is still as the sweep left it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gradewatch.cli.failure import counted
from gradewatch.cli.invocation import Invocation, operator
from gradewatch.cli.options import as_json, pass_invocation
from gradewatch.cli.output import echo_json, echo_table
from gradewatch.errors import NotFound

if TYPE_CHECKING:
    from gradewatch.model import AuditEntry
    from gradewatch.ports import Store


@click.command()
@click.argument("sweep")
@as_json
@pass_invocation
def undo(invocation: Invocation, sweep: str, as_json: bool) -> None:
    """Put back the jobs that SWEEP changed. `gradewatch audit` lists the sweeps.

    A job that has changed since then is left alone. A pending job comes back with a fresh waiting clock.
    """

    async def undone(store: Store) -> list[tuple[AuditEntry, bool]]:
        if not await store.audit(sweep=sweep, limit=1):
            raise NotFound(f"There is no sweep {sweep}: `gradewatch audit` lists those there are.")
        return await store.undo(sweep, by=operator())

    _echo(sweep, invocation.ask(undone), as_json)


def _echo(sweep: str, answers: list[tuple[AuditEntry, bool]], as_json: bool) -> None:
    if as_json:
        jobs = [{"job": e.subject, "queue": e.queue, "action": e.action, "put_back": back} for e, back in answers]
        echo_json({"sweep": sweep, "put_back": sum(back for _, back in answers), "jobs": jobs})
        return
    if not answers:
        click.echo(f"Nothing of {sweep} is left to undo: it changed no job, or all of it was undone before.")
        return
    rows = [(e.subject, e.queue, e.action, "put back" if back else "left alone") for e, back in answers]
    echo_table(("job", "queue", "was", "now"), rows)
    back, left = sum(done for _, done in answers), sum(not done for _, done in answers)
    note = f"; {left} left alone, because they have changed since" if left else ""
    click.echo(f"\n{counted(back, 'job')} put back{note}")
