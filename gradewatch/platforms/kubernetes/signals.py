"""Signals by name, as Linux numbers them: a pod's node need not be the machine we run on."""

from __future__ import annotations

_NAMES = "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM".split()  # from 1 on


def signal_of(number: int) -> str:
    return f"SIG{_NAMES[number - 1]}" if 0 < number <= len(_NAMES) else f"signal {number}"
