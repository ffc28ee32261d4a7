"""`gradewatch check-config`: everything that is wrong or doubtful in the settings, and what they amount to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

import click

from gradewatch.cli.failure import CANNOT, counted
from gradewatch.cli.invocation import Invocation
from gradewatch.cli.options import as_json, pass_invocation
from gradewatch.cli.output import echo_json, plain
from gradewatch.cli.redact import HIDDEN

if TYPE_CHECKING:
    from gradewatch.config import Loaded, Settings


@click.command("check-config")
@as_json
@pass_invocation
@click.pass_context
def check_config(ctx: click.Context, invocation: Invocation, as_json: bool) -> None:
    """Check the settings and show what they amount to.

    No secret is shown. Exit code 2 when the settings cannot be used.
    """
    loaded = invocation.loaded()
    shown = effective(loaded.settings)
    if as_json:
        body = {"errors": loaded.errors, "warnings": loaded.warnings, "sources": loaded.sources, "settings": shown}
        echo_json({"ok": not loaded.errors, **body})
    else:
        _echo(loaded, shown)
    ctx.exit(CANNOT if loaded.errors else 0)


def effective(settings: Settings) -> dict[str, Any]:
    """The settings as nested values; what their dataclasses keep out of their repr is hidden. The URL of an SQLite
    store is shown: it is a path, and which file is meant is the commonest question; so is Supabase's, which holds no
    secret."""
    shown = _shown(settings)
    if settings.store.scheme in ("sqlite", "https", "http"):
        shown["store"]["url"] = settings.store.url
    return shown


def _shown(value: Any) -> dict[str, Any]:
    return {field.name: _field(getattr(value, field.name), secret=not field.repr) for field in fields(value)}


def _field(value: Any, *, secret: bool) -> Any:
    if secret:
        return HIDDEN if value else ""
    if is_dataclass(value):
        return _shown(value)
    if isinstance(value, Mapping):
        return {str(plain(key)): _field(item, secret=False) for key, item in value.items()}
    return plain(value)


def _echo(loaded: Loaded, shown: Mapping[str, Any]) -> None:
    for error in loaded.errors:
        click.echo(click.style("error: ", fg="red", bold=True) + error)
    for warning in loaded.warnings:
        click.echo(click.style("warning: ", fg="yellow") + warning)
    if loaded.errors or loaded.warnings:
        click.echo()
    click.echo(f"Sources: {', '.join(loaded.sources) or 'none, these are the defaults'}")
    if not loaded.errors:  # else what they amount to is not what is meant, and would push the errors off the screen
        click.echo("Settings (durations in seconds, sizes in bytes):")
        for key, value in _flat(shown):
            click.echo(f"  {key} = {value}")
    click.echo()
    if loaded.errors:
        click.secho(f"{counted(len(loaded.errors), 'error')}: gradewatch does not start with these settings.", fg="red")
    else:
        click.secho(f"These settings can be used ({counted(len(loaded.warnings), 'warning')}).", fg="green")


def _flat(shown: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in shown.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield (
                f"{prefix}{key}",
                f"{value:.10g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False),
            )
