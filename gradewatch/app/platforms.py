"""Which platform keeps the workers, and who keeps the lease there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from gradewatch.app.other_platforms import OTHERS, other_platform
from gradewatch.config import Settings
from gradewatch.errors import ConfigError
from gradewatch.platforms.none import NoPlatform
from gradewatch.ports import KeepsLeases, Leases, Managed, WorkerControl


def make_platform(settings: Settings, environ: Mapping[str, str], *, single: bool = False) -> WorkerControl:
    """The platform of these settings, not opened yet. `single`: for one cycle, which cannot wait to see things twice.

    Raises ConfigError where a platform's settings do not suffice. Children belong to `gradewatch run`, which makes its
    own platform for them: a watch without workers knows nothing of them.
    """
    kind = settings.platform.kind
    if kind in ("process", "none"):
        return NoPlatform()
    if kind in OTHERS:
        return other_platform(settings, environ, single=single)
    if kind == "kubernetes":
        from gradewatch.platforms.kubernetes import KubernetesPlatform

        return KubernetesPlatform(settings, environ, single=single)
    raise ConfigError([f"platform.kind: no platform {kind} in this version"])


@asynccontextmanager
async def opened_platform(
    settings: Settings, environ: Mapping[str, str], *, single: bool = False
) -> AsyncIterator[WorkerControl]:
    """The platform of these settings for the length of the context. One that does not answer opens all the same."""
    platform = make_platform(settings, environ, single=single)
    if not isinstance(platform, Managed):
        yield platform
        return
    try:
        await platform.open()
        yield platform
    finally:
        await platform.close()


def leases_of(platform: WorkerControl, store: Leases) -> Leases:
    """Who keeps the lease of the acting watch: the platform where it can, else the store."""
    return platform.leases if isinstance(platform, KeepsLeases) else store
