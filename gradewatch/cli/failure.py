"""How a command ends when it could not do what was asked: one clear message, and an exit code with a meaning.

0 done, or healthy · 1 not so: findings, a job that failed, an id that is not there · 2 cannot tell, or misconfigured ·
130 stopped with Ctrl-C.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO, Any

import click

from gradewatch.errors import ConfigError, Conflict, GradewatchError, NotFound, RubricError, StoreError

NOT_SO, CANNOT, INTERRUPTED = 1, 2, 130


class Failure(click.ClickException):
    """Shown as `error: …` on standard error; several problems as a list below it."""

    exit_code = CANNOT

    def __init__(self, message: str, problems: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(click.style("error: ", fg="red", bold=True) + self.message, file=file, err=file is None)
        for problem in self.problems:
            click.echo(f"  - {problem}", file=file, err=file is None)


class Refusal(Failure):
    """The question was answered, with no: there is no such job, or it is no longer as it was."""

    exit_code = NOT_SO


def failure_of(error: GradewatchError) -> Failure:
    if isinstance(error, ConfigError):
        return Failure(f"the settings cannot be used: {counted(len(error.problems), 'problem')}", error.problems)
    if isinstance(error, RubricError):
        return Failure("the rubric cannot be used", error.problems)
    if isinstance(error, NotFound | Conflict):
        return Refusal(str(error))
    return Failure(f"{error} {error.fix}" if isinstance(error, StoreError) and error.fix else str(error))


def counted(count: int, noun: str) -> str:
    """ "1 job", "3 jobs"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
