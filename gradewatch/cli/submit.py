"""`gradewatch submit`: papers and a rubric become a job."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gradewatch.cli.failure import INTERRUPTED, NOT_SO, Failure, counted
from gradewatch.cli.invocation import Invocation
from gradewatch.cli.options import as_json, pass_invocation
from gradewatch.errors import GradewatchError, RubricError

if TYPE_CHECKING:
    from gradewatch.config import Settings

SUFFIXES = (".pdf", ".png", ".jpg", ".jpeg")  # what is taken from a folder; a file named by itself may have any


@click.command()
@click.argument("papers", metavar="PAPER...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--rubric", required=True, type=click.Path(path_type=Path), metavar="FILE", help="YAML or JSON.")
@click.option("--queue", help="Queue to put the job into; may be left out where the settings have one, or `default`.")
@click.option("--priority", type=int, default=0, show_default=True, help="Higher is graded first.")
@click.option("--key", help="Makes this submission idempotent: the same key again gives the same job.")
@click.option("--wait", is_flag=True, help="Show the progress until the job is finished.")
@as_json
@pass_invocation
@click.pass_context
def submit(
    ctx: click.Context,
    invocation: Invocation,
    papers: tuple[Path, ...],
    rubric: Path,
    queue: str | None,
    priority: int,
    key: str | None,
    wait: bool,
    as_json: bool,
) -> None:
    """Enqueue one job that grades the given papers.

    Papers are PDF, PNG or JPEG files, or folders of them. Prints the job's id, and nothing else, on standard output.
    With --wait the exit code is 0 when the job succeeded and 1 when it failed or was cancelled.
    """
    settings = invocation.settings()
    files = _checked(papers, rubric)
    target = _queue(queue, settings)
    job_id = asyncio.run(_submit(settings, files, rubric, target, priority, key))
    if not (as_json and wait):
        _echo_id(job_id, target, len(files), as_json)
    if wait:
        ctx.exit(_wait(settings, invocation, job_id, as_json))
    click.echo(
        f"{counted(len(files), 'paper')} in {target}; to see them graded: gradewatch jobs show {job_id}", err=True
    )


def _checked(papers: tuple[Path, ...], rubric: Path) -> list[Path]:
    """The files to submit, folders replaced by the papers in them. Raises Failure with every problem found."""
    from gradewatch.app.submit import read_rubric

    files, problems = _expanded(papers)
    try:
        read_rubric(rubric)
    except RubricError as error:
        problems += error.problems
    if problems:
        raise Failure("nothing was submitted", problems)
    return files


def _expanded(papers: tuple[Path, ...]) -> tuple[list[Path], list[str]]:
    files: list[Path] = []
    problems: list[str] = []
    for paper in papers:
        if paper.is_dir():
            inside = sorted(p for p in paper.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
            files += inside
            if not inside:
                problems.append(f"{paper}: this folder has no {', '.join(SUFFIXES)} file")
        elif paper.is_file():
            files.append(paper)
        else:
            problems.append(f"{paper}: there is no such file")
    return files, problems


def _queue(asked: str | None, settings: Settings) -> str:
    """Raises Failure for a queue that no worker with these settings would ever look at."""
    names = list(settings.queues)
    if asked is None and (len(names) == 1 or "default" in names):
        return "default" if "default" in names else names[0]
    if asked in names:
        return asked
    have = f"the settings have {', '.join(names)}"
    raise Failure(f"there is no queue {asked!r}: {have}" if asked else f"which --queue? {have}")


async def _submit(
    settings: Settings, files: list[Path], rubric: Path, queue: str, priority: int, key: str | None
) -> str:
    from gradewatch import app
    from gradewatch.cli.embedded import prepare_store

    if await prepare_store(settings):
        click.echo(
            f"Created {settings.store.url}. No worker has seen it yet: start one in this folder with `gradewatch run`.",
            err=True,
        )
    async with app.opened(settings) as store:
        return await app.submit_papers(store, files, rubric, queue=queue, priority=priority, key=key)


def _echo_id(job_id: str, queue: str, papers: int, as_json: bool) -> None:
    from gradewatch.cli.output import to_json

    click.echo(to_json({"job": job_id, "queue": queue, "papers": papers}) if as_json else job_id)


def _wait(settings: Settings, invocation: Invocation, job_id: str, as_json: bool) -> int:
    from gradewatch.cli.follow import follow
    from gradewatch.cli.job_views import echo_job_json, echo_papers

    try:
        job, papers = asyncio.run(follow(settings, job_id, invocation.environ))
    except KeyboardInterrupt:
        click.echo(f"\nThe job goes on without you; to look at it: gradewatch jobs show {job_id}", err=True)
        return INTERRUPTED
    except GradewatchError:
        click.echo(f"The job is submitted; to look at it: gradewatch jobs show {job_id}", err=True)
        raise
    if as_json:
        echo_job_json(job, papers)
    else:
        # Standard output holds the id alone, whoever waits.
        echo_papers(papers, err=True)
        if job.error:
            click.echo(f"The job {job.state.value}: {job.error.message}", err=True)
    return 0 if job.state.value == "succeeded" else NOT_SO
