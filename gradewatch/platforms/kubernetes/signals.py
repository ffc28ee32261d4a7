"""Signals by name, as Linux numbers them: a pod's node need not be the machine we run on."""

from __future__ import annotations

_NAMES = {1: "HUP", 2: "INT", 3: "QUIT", 4: "ILL", 6: "ABRT", 7: "BUS", 8: "FPE", 9: "KILL", 11: "SEGV", 15: "TERM"}


def signal_of(number: int) -> str:
    return f"SIG{_NAMES[number]}" if number in _NAMES else f"signal {number}"
