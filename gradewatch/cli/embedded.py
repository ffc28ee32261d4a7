"""The embedded default needs no set-up: its file is made by whoever first works with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradewatch.config import Settings


async def prepare_store(settings: Settings) -> list[str]:
    """As app.preparing has it, which is imported only now: commands start without it."""
    from gradewatch.app.preparing import prepare_store as prepare

    return await prepare(settings)
