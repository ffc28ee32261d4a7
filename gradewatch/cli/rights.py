"""What a platform allows us, for a person or a program: each right that is missing, what for, and how to give it."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from gradewatch.cli.failure import CANNOT, NOT_SO
from gradewatch.errors import PlatformError
from gradewatch.model import Right


@dataclass(frozen=True)
class Checked:
    """The rights that were asked for, or why that could not be asked."""

    rights: Sequence[Right] = ()
    error: str = ""

    @property
    def missing(self) -> list[Right]:
        return [right for right in self.rights if not right.allowed]

    def exit_code(self, code: int) -> int:
        """That of the whole diagnosis, whose own is `code`: a missing right is a finding."""
        if code:
            return code
        return NOT_SO if self.missing else CANNOT if self.error else 0

    def echo(self) -> None:
        """Nothing where no platform gives rights."""
        if self.error:
            click.echo(f"\n{click.style('unknown', fg='yellow', bold=True)}  rights could not be checked: {self.error}")
        for right in self.missing:
            click.echo(f"\n{click.style('missing right', fg='red', bold=True)}  {right.verb} {right.resource}")
            click.echo(f"  needed   {right.why} ({right.scope})")
            click.echo(f"  fix      {right.fix}")
        if self.rights and not self.missing:
            click.echo(f"\nAll {len(self.rights)} rights that the watch needs are given.")

    def as_json(self) -> dict[str, Any]:
        if not (self.rights or self.error):
            return {}
        keys = ("verb", "resource", "scope", "allowed", "why", "fix")
        told: dict[str, Any] = {"rights": [{key: getattr(right, key) for key in keys} for right in self.rights]}
        return told | ({"rights_error": self.error} if self.error else {})


async def checked(asking: Awaitable[Sequence[Right]]) -> Checked:
    try:
        return Checked(await asking)
    except PlatformError as error:
        return Checked(error=str(error))
