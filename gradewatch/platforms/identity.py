"""Who a supervised worker is: handed down in its environment by the supervisor, and written in its session."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass

TARGET = "GRADEWATCH_TARGET"
INCARNATION = "GRADEWATCH_INCARNATION"
SYSTEMD_INVOCATION = "INVOCATION_ID"  # systemd.exec(5)
SUPERVISORD = "SUPERVISOR_ENABLED"  # as supervisord sets it for each of its children, with the two names below
RENDER = "RENDER_SERVICE_ID"


@dataclass(frozen=True, slots=True)
class Identity:
    """A worker's place on its platform, and which life of that place it is; both empty for one nobody supervises.

    The incarnation is chosen before the process exists and never used again, on any host, so a session that carries
    it is proved dead once that life has ended; a pid could not prove it, for the kernel gives pids out again.
    """

    target: str = ""
    incarnation: str = ""

    @classmethod
    def new(cls, target: str) -> Identity:
        return cls(target, f"{target}.{secrets.token_hex(6)}")

    @classmethod
    def take(cls, environ: MutableMapping[str, str] = os.environ) -> Identity:
        """This worker's own, out of its environment, where it would be wrong for the worker's own children. Where
        nobody gave it one, it is what the platforms that are known say by themselves."""
        target, incarnation = environ.pop(TARGET, ""), environ.pop(INCARNATION, "")
        if target and not incarnation and SUPERVISORD not in environ:
            # Only with a target: whatever is started from a systemd session has the invocation of that.
            incarnation = environ.get(SYSTEMD_INVOCATION, "")
        return cls(target or _place(environ), incarnation)

    def variables(self) -> dict[str, str]:
        return {TARGET: self.target, INCARNATION: self.incarnation}


def _place(environ: Mapping[str, str]) -> str:
    """The name by which supervisord or Render know the place this process fills; empty for no such place."""
    if SUPERVISORD in environ and (name := environ.get("SUPERVISOR_PROCESS_NAME", "")):
        group = environ.get("SUPERVISOR_GROUP_NAME", name)
        return name if group == name else f"{group}:{name}"
    return environ.get(RENDER, "")
