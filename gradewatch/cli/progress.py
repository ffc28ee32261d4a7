"""The progress of one job: a bar on a terminal, a line for each change anywhere else. All on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import click

from gradewatch.model import Job

if TYPE_CHECKING:
    from rich.progress import Progress


class Display(Protocol):
    def update(self, job: Job) -> None: ...
    def say(self, text: str) -> None: ...


@contextmanager
def display() -> Iterator[Display]:
    if not sys.stderr.isatty():
        yield Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(file=sys.stderr)) as progress:
        yield Bar(progress)


class Bar:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("pending", total=None)

    def update(self, job: Job) -> None:
        total = job.progress_total or None
        self._progress.update(self._task, description=job.state.value, completed=job.progress_done, total=total)

    def say(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False, style="yellow")


class Lines:
    def __init__(self) -> None:
        self._last = ""

    def update(self, job: Job) -> None:
        line = f"{job.state.value} {job.progress_done}/{job.progress_total}"
        if line != self._last:
            self._last = line
            click.echo(line, err=True)

    def say(self, text: str) -> None:
        click.echo(text, err=True)
