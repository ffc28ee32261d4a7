"""`gradewatch jobs run`: one job in the foreground, with its progress and what came of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from gradewatch.cli.failure import INTERRUPTED, NOT_SO
from gradewatch.cli.invocation import Invocation
from gradewatch.cli.progress import Display, display
from gradewatch.errors import NotFound, StoreError
from gradewatch.model import Job, JobState, PaperResult

if TYPE_CHECKING:
    from gradewatch.config import Settings
    from gradewatch.ports import Store

POLL = 0.25  # seconds between two looks at the job


def run_in_foreground(invocation: Invocation, job_id: str, as_json: bool) -> int:
    """The exit code. Raises NotFound, Conflict and store errors."""
    from gradewatch.cli.signals import serve

    settings = invocation.settings()
    ended: list[tuple[Job, list[PaperResult]]] = []

    async def service(stop: asyncio.Event, hurry: asyncio.Event) -> None:
        ended.append(await _run(settings, invocation, job_id, stop, hurry))

    interrupted = serve(service)
    job, papers = ended[0]
    _echo(job, papers, as_json)
    if job.state is JobState.SUCCEEDED:
        return 0
    return interrupted if interrupted == INTERRUPTED else NOT_SO


async def _run(
    settings: Settings, invocation: Invocation, job_id: str, stop: asyncio.Event, hurry: asyncio.Event
) -> tuple[Job, list[PaperResult]]:
    from gradewatch import app

    running = app.run_job(settings, job_id, environ=invocation.environ, stop=stop, hurry=hurry)
    async with app.opened(settings) as store:
        with display() as shown:
            showing = asyncio.create_task(_show(store, job_id, shown))
            try:
                await running
            finally:
                showing.cancel()
                await asyncio.wait({showing})
            job = await store.job(job_id)
            if job is None:
                raise NotFound(f"Job {job_id} is gone: it was purged while it ran.")
            shown.update(job)
        return job, await store.papers(job_id)


async def _show(store: Store, job_id: str, shown: Display) -> None:
    while True:
        try:
            job = await store.job(job_id)
        except StoreError as error:
            shown.say(f"The store does not answer, still trying: {error}")
        else:
            if job is not None and job.state is not JobState.PENDING:
                shown.update(job)
        await asyncio.sleep(POLL)


def _echo(job: Job, papers: list[PaperResult], as_json: bool) -> None:
    from gradewatch.cli.job_views import echo_job_json, echo_papers

    if as_json:
        echo_job_json(job, papers)
        return
    if papers:
        echo_papers(papers)
    words = {JobState.PENDING: "is back in its queue", JobState.RUNNING: "is being run by somebody else"}
    why = f": {job.error.message}" if job.error else ""
    click.echo(f"Job {job.id} {words.get(job.state, job.state.value)}{why}", err=True)
