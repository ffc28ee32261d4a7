"""This process's clocks."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """This process's clocks. Only durations are ever taken from it, never a job's age."""

    def mono(self) -> float: ...
    def wall(self) -> datetime: ...
