"""Kubernetes said "not now" (a disruption budget, a rollout): wait, longer each time, and say why."""

from __future__ import annotations

import time
from collections.abc import Callable

FIRST, MOST = 10.0, 300.0  # seconds; doubled each time


class Patience:
    def __init__(self, mono: Callable[[], float] = time.monotonic) -> None:
        self._mono = mono
        self._until, self._times, self._why = float("-inf"), 0, ""

    @property
    def reason(self) -> str:
        """Why nothing is to be tried at this moment; empty when something may be."""
        return self._why if self._mono() < self._until else ""

    def asked_to_wait(self, why: str) -> None:
        wait = min(MOST, FIRST * 2.0**self._times)
        self._until, self._times, self._why = self._mono() + wait, min(self._times + 1, 10), why

    def done(self) -> None:
        self._until, self._times, self._why = float("-inf"), 0, ""
