"""Looks at the queue on demand, over a store that stays open: what an application's own routes show."""

from __future__ import annotations

from collections.abc import Mapping

from gradewatch.app.stores import make_store
from gradewatch.app.watching import make_cycle
from gradewatch.board import Board
from gradewatch.config import Settings
from gradewatch.model import CycleReport
from gradewatch.platforms.none import NoPlatform


class Looker:
    """Belongs to one event loop. Looking changes nothing, not even a lease, and asks no provider anything: each process
    of an application may have one."""

    def __init__(self, settings: Settings, environ: Mapping[str, str]) -> None:
        self.board = Board()
        self.store = make_store(settings)
        self._cycle = make_cycle(
            settings, self.store, NoPlatform(), self.board, environ=environ, single=True, check_providers=False
        )

    async def look(self) -> CycleReport:
        """One diagnosis, put up on the board. Never raises: what could not be read, the report says."""
        return await self._cycle.run_single(acting=False)

    async def close(self) -> None:
        await self.store.close()
