"""No platform: workers that somebody else runs, and nobody here can restart."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gradewatch.errors import PlatformError
from gradewatch.model import Target


class NoPlatform:
    kind = "none"

    async def targets(self) -> Sequence[Target]:
        return ()

    async def restart(self, target: str, incarnation: str) -> str:
        """Raises PlatformError, always: there is nothing to restart with."""
        raise PlatformError(
            f'Worker "{target}" cannot be restarted, because no platform is configured: gradewatch does not know how '
            'it is run. Set kind under [platform] in gradewatch.toml, for example "process" and start the workers '
            "with `gradewatch run`; or restart the worker by hand."
        )

    def on_event(self, wake: Callable[[], None]) -> None:
        """Nothing ever happens here."""
