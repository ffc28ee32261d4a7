"""`gradewatch jobs`: look at jobs, and act on one by hand through the same guarded writes as the watch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import click

from gradewatch.cli.failure import NOT_SO
from gradewatch.cli.invocation import Invocation, new_sweep, operator
from gradewatch.cli.options import as_json, pass_invocation
from gradewatch.errors import Conflict, NotFound

if TYPE_CHECKING:
    from gradewatch.model import Job, PaperResult
    from gradewatch.ports import Store

STATES = ("pending", "running", "succeeded", "failed", "cancelled")
Verb = Literal["requeue", "fail", "cancel"]
PAST: dict[Verb, str] = {"requeue": "requeued", "fail": "failed", "cancel": "cancelled"}
MOST = 1000  # listed at once: what fits into one answer of every store


@click.group()
def jobs() -> None:
    """Look at jobs, and act on them by hand."""


@jobs.command("list")
@click.option("--queue", help="Only this queue.")
@click.option("--state", type=click.Choice(STATES), help="Only this state.")
@click.option("--limit", type=click.IntRange(1, MOST), default=50, show_default=True, help="At most so many.")
@as_json
@pass_invocation
def list_jobs(invocation: Invocation, queue: str | None, state: str | None, limit: int, as_json: bool) -> None:
    """The newest jobs first."""
    from gradewatch.cli import job_views
    from gradewatch.model import JobState

    async def listed(store: Store) -> tuple[list[Job], job_views.datetime]:
        found = await store.jobs(queue=queue, state=JobState(state) if state else None, limit=limit)
        return found, (await store.check([])).now

    found, now = invocation.ask(listed)
    if as_json:
        job_views.echo_jobs_json(found)
    else:
        job_views.echo_jobs(found, now)


@jobs.command()
@click.argument("job_id", metavar="ID")
@as_json
@pass_invocation
def show(invocation: Invocation, job_id: str, as_json: bool) -> None:
    """One job with its papers and their marks."""
    from gradewatch.cli import job_views

    async def shown(store: Store) -> tuple[Job, list[PaperResult], job_views.datetime]:
        job = await store.job(job_id)
        if job is None:
            raise NotFound(f"There is no job {job_id}: check the id, or it was purged after its retention time.")
        return job, await store.papers(job_id), (await store.check([])).now

    job, papers, now = invocation.ask(shown)
    if as_json:
        job_views.echo_job_json(job, papers)
    else:
        job_views.echo_job(job, papers, now)


def _verb(verb: Verb, help_text: str) -> None:
    @jobs.command(verb, help=help_text)
    @click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
    @click.option("--reason", default="", help="Why, for the audit trail and whoever waits for the job.")
    @as_json
    @pass_invocation
    @click.pass_context
    def command(
        ctx: click.Context, invocation: Invocation, job_ids: tuple[str, ...], reason: str, as_json: bool
    ) -> None:
        ctx.exit(_operate(invocation, verb, tuple(dict.fromkeys(job_ids)), reason, as_json))


def _operate(invocation: Invocation, verb: Verb, job_ids: tuple[str, ...], reason: str, as_json: bool) -> int:
    from gradewatch.cli.job_views import echo_operated

    sweep = new_sweep()

    async def operated(store: Store) -> dict[str, Job | str]:
        """By id: the job as it is now, or why it was left alone."""
        answers: dict[str, Job | str] = {}
        for job_id in job_ids:
            try:
                answers[job_id] = await store.operate(job_id, verb, by=operator(), sweep=sweep, message=reason)
            except (NotFound, Conflict) as error:
                answers[job_id] = str(error)
        return answers

    answers = invocation.ask(operated)
    echo_operated(answers, PAST[verb], sweep, as_json=as_json)
    return NOT_SO if any(isinstance(answer, str) for answer in answers.values()) else 0


_verb("requeue", "Put failed, cancelled or running jobs back into the queue, with all their attempts.")
_verb("fail", "Fail pending or running jobs; a worker that runs one is told to stop.")
_verb("cancel", "Cancel pending or running jobs; a worker that runs one is told to stop.")


@jobs.command("run")
@click.argument("job_id", metavar="ID")
@as_json
@pass_invocation
@click.pass_context
def run_one(ctx: click.Context, invocation: Invocation, job_id: str, as_json: bool) -> None:
    """Run one pending job here and now, while no worker does.

    Ctrl-C gives it back to its queue, with every graded paper kept. Exit code 0 when it succeeded, else 1.
    """
    from gradewatch.cli.run_job import run_in_foreground

    ctx.exit(run_in_foreground(invocation, job_id, as_json))
