"""What the global options say, and the settings they lead to."""

from __future__ import annotations

import asyncio
import getpass
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from gradewatch.cli.lean import structlog
from gradewatch.cli.logs import set_up_logs

if TYPE_CHECKING:
    from gradewatch.config import Loaded, Settings
    from gradewatch.ports import Store

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Invocation:
    config: Path | None
    verbose: bool
    log_format: str | None
    environ: MutableMapping[str, str]

    def loaded(self) -> Loaded:
        from gradewatch.config import load

        return load(self.config, self.environ)

    def settings(self, *, log_level: str = "critical") -> Settings:
        """For a command that answers and ends: its answer says what went wrong, so that nothing below `log_level` is
        logged unless --verbose; warnings are said in words. Raises ConfigError."""
        loaded = self.loaded()
        set_up_logs(self.log_format or loaded.settings.log.format, "debug" if self.verbose else log_level)
        settings = loaded.require()
        for warning in loaded.warnings:
            click.echo(click.style("warning: ", fg="yellow") + warning, err=True)
        return settings

    def service_settings(self) -> Settings:
        """For a command that stays: everything it has to say is a log line. Raises ConfigError."""
        loaded = self.loaded()
        log = loaded.settings.log
        set_up_logs(self.log_format or log.format, "debug" if self.verbose else log.level)
        settings = loaded.require()
        for warning in loaded.warnings:
            structlog.get_logger(__name__).warning("doubtful setting", warning=warning)
        return settings

    def ask(self, question: Callable[[Store], Awaitable[T]]) -> T:
        """The answer of one coroutine over the open store. Raises the store's errors."""
        settings = self.settings()

        async def asked() -> T:
            from gradewatch.app import opened

            async with opened(settings) as store:
                return await question(store)

        return asyncio.run(asked())


def operator() -> str:
    """Who acts, for the audit trail: user@host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may run as a uid that has no name
        user = f"uid{os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def new_sweep() -> str:
    """An id for what one command changes, in the form of the watch's own sweeps."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(2)}"
