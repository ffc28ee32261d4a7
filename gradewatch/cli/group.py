"""Groups that import a command when it is called, and turn the project's errors into messages and exit codes."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import click

from gradewatch.cli.failure import INTERRUPTED, failure_of
from gradewatch.errors import GradewatchError


class LazyGroup(click.Group):
    """`lazy` maps a command's name to "module:attribute" inside this package, in the order that help shows."""

    def __init__(self, *args: Any, lazy: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = dict(lazy)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._lazy:
            return None
        module, _, attribute = self._lazy[cmd_name].partition(":")
        command = getattr(import_module(f"gradewatch.cli.{module}"), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        # click suggests only from commands that are loaded, and here none is.
        if args[0] not in self._lazy and (near := get_close_matches(args[0], self._lazy, n=1)):
            ctx.fail(f"No such command '{args[0]}'. Did you mean '{near[0]}'?")
        return super().resolve_command(ctx, args)


class RootGroup(LazyGroup):
    """The one place where an error on purpose becomes a message; any other keeps its traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.NoSuchOption as error:
            own = any(error.option_name in param.opts for param in self.params)
            if error.ctx is None or not own:
                raise
            usage = f"{ctx.info_name} {error.option_name} … {error.ctx.info_name}"
            raise click.UsageError(f"{error.option_name} goes before the command: {usage}", error.ctx) from error
        except GradewatchError as error:
            raise failure_of(error) from error
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)
