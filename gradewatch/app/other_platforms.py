"""Platforms beside our own children and Kubernetes, each made of the same settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gradewatch.config import Settings, missing_variables
from gradewatch.errors import ConfigError
from gradewatch.ports import WorkerControl

Make = Callable[[Settings, tuple[str, ...], Mapping[str, str], float], WorkerControl]
LONG = 3600.0  # seconds: what a place is believed to have run already in a single cycle, which cannot wait to see
ANY = ("gradewatch-worker",)  # the target of a platform that needs no name for it


def _supervisor(settings: Settings, queues: tuple[str, ...], environ: Mapping[str, str], age: float) -> WorkerControl:
    from gradewatch.platforms.supervisor import SupervisorPlatform

    platform = settings.platform
    return SupervisorPlatform(
        platform.url,
        platform.targets,
        queues=queues,
        username=environ.get("SUPERVISOR_USERNAME", ""),
        password=environ.get("SUPERVISOR_PASSWORD", ""),
        timeout=platform.timeout,
    )


def _systemd(settings: Settings, queues: tuple[str, ...], environ: Mapping[str, str], age: float) -> WorkerControl:
    from gradewatch.platforms.systemd import SystemdPlatform

    platform = settings.platform
    return SystemdPlatform(
        platform.targets, queues=queues, environ=environ, user=platform.user, timeout=platform.timeout
    )


def _render(settings: Settings, queues: tuple[str, ...], environ: Mapping[str, str], age: float) -> WorkerControl:
    from gradewatch.platforms.render import API, RenderPlatform

    platform = settings.platform
    key = environ.get("RENDER_API_KEY", "").strip()
    return RenderPlatform(platform.targets, queues=queues, key=key, base=platform.url or API, timeout=platform.timeout)


def _command(settings: Settings, queues: tuple[str, ...], environ: Mapping[str, str], age: float) -> WorkerControl:
    from gradewatch.platforms.command import CommandPlatform

    platform = settings.platform
    return CommandPlatform(
        platform.targets or ANY,
        queues=queues,
        restart=platform.restart,
        status=platform.status,
        environ=environ,
        passed=platform.env,
        timeout=platform.timeout,
        restart_timeout=platform.restart_timeout,
        age=age,
    )


def _webhook(settings: Settings, queues: tuple[str, ...], environ: Mapping[str, str], age: float) -> WorkerControl:
    from gradewatch.platforms.webhook import WebhookPlatform

    platform = settings.platform
    secret = environ.get("GRADEWATCH_WEBHOOK_SECRET", "").strip()
    return WebhookPlatform(
        platform.url, platform.targets or ANY, queues=queues, secret=secret, timeout=platform.restart_timeout, age=age
    )


OTHERS: Mapping[str, Make] = {
    "supervisor": _supervisor,
    "systemd": _systemd,
    "render": _render,
    "command": _command,
    "webhook": _webhook,
}


def other_platform(settings: Settings, environ: Mapping[str, str], *, single: bool = False) -> WorkerControl:
    """The platform of one of the kinds in OTHERS. Its workers serve `platform.queues`, else all that are claimed.

    Raises ConfigError where a secret is missing."""
    if missing := missing_variables(settings.platform.kind, environ):
        raise ConfigError(missing)
    claimed = tuple(name for name, queue in settings.queues.items() if not queue.paused)
    make = OTHERS[settings.platform.kind]
    return make(settings, settings.platform.queues or claimed, environ, LONG if single else 0.0)
