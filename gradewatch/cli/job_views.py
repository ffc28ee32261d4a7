"""How jobs and graded papers look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import click

from gradewatch.cli.failure import counted
from gradewatch.cli.output import echo_json, echo_table, lasting, mark, moment
from gradewatch.model import Job, JobState, PaperResult

__all__ = ["datetime", "echo_job", "echo_job_json", "echo_jobs", "echo_jobs_json", "echo_operated", "echo_papers"]


def timing(job: Job, now: datetime) -> str:
    """How long the job has waited, runs, or took; all by the store's clock."""
    if job.state is JobState.PENDING:
        left = (job.run_at - now).total_seconds()
        return f"due in {lasting(left)}" if left > 0 else f"waits {lasting(-left)}"
    if job.state is JobState.RUNNING and job.started_at:
        return f"runs {lasting((now - job.started_at).total_seconds())}"
    if job.finished_at and job.started_at:
        return f"took {lasting((job.finished_at - job.started_at).total_seconds())}"
    return "never started"


def progress(job: Job) -> str:
    return f"{job.progress_done}/{job.progress_total}"


def echo_jobs(jobs: Sequence[Job], now: datetime) -> None:
    if not jobs:
        click.echo("No such jobs.")
        return
    columns = ("id", "queue", "state", "done", "attempt", "created (UTC)", "time", "error")
    rows = [
        (
            job.id,
            job.queue,
            job.state.value,
            progress(job),
            f"{job.attempt}/{job.max_attempts}",
            moment(job.created_at),
            timing(job, now),
            job.error.code if job.error else "",
        )
        for job in jobs
    ]
    echo_table(columns, rows)


def echo_jobs_json(jobs: Sequence[Job]) -> None:
    from gradewatch.http import wire

    echo_json([wire.job_line(job) for job in jobs])


def echo_job(job: Job, papers: Sequence[PaperResult], now: datetime) -> None:
    lines = {
        "job": job.id,
        "state": f"{job.state.value}, {timing(job, now)}",
        "queue": f"{job.queue}, priority {job.priority}",
        "kind": job.kind,
        "papers" if job.kind == "grade" else "progress": f"{job.progress_done} of {job.progress_total} done",
        "attempt": f"{job.attempt} of {job.max_attempts}" + (f", {counted(job.lost, 'worker')} lost" * bool(job.lost)),
        "created": _utc(job.created_at),
        "started": _utc(job.started_at),
        "finished": _utc(job.finished_at),
        "session": job.session_id if job.state is JobState.RUNNING else "",
        "message": job.status_message,
        "error": f"{job.error.code}: {job.error.message}" if job.error else "",
    }
    for label, text in lines.items():
        if text:
            click.echo(f"{click.style(f'{label:<9}', bold=True)} {text}")
    if papers:
        click.echo()
        echo_papers(papers)


def _utc(at: datetime | None) -> str:
    return f"{moment(at)} UTC" if at else ""


def echo_papers(papers: Sequence[PaperResult], *, err: bool = False) -> None:
    """A table of papers, and how many need a person."""
    rows = [
        (p.name, f"{mark(p.marks) or '-'}/{mark(p.max_marks)}", p.status, p.error.message if p.error else "")
        for p in papers
    ]
    echo_table(("paper", "marks", "status", "note"), rows, err=err)
    count = {status: sum(p.status == status for p in papers) for status in ("graded", "needs_review", "failed")}
    told = f"{count['graded']} graded, {count['needs_review']} for a person to review, {count['failed']} failed"
    click.echo(f"\n{counted(len(papers), 'paper')}: {told}", err=err)


def echo_job_json(job: Job, papers: Sequence[PaperResult]) -> None:
    from gradewatch.http import wire

    echo_json(wire.job_page(job, papers))


def echo_operated(answers: Mapping[str, Job | str], done: str, sweep: str, *, as_json: bool) -> None:
    """What came of each job; refusals go to standard error, so that the rest can be piped on."""
    if as_json:
        from gradewatch.http import wire

        changed = {i: wire.job_line(a) if isinstance(a, Job) else {"error": a} for i, a in answers.items()}
        echo_json({"sweep": sweep, "jobs": changed})
        return
    for job_id, answer in answers.items():
        if isinstance(answer, str):
            click.echo(click.style("error: ", fg="red", bold=True) + answer, err=True)
        else:
            click.echo(f"{job_id}  {done}")
    if any(isinstance(answer, Job) for answer in answers.values()):
        click.echo(f"To put it back as it was: gradewatch undo {sweep}", err=True)
