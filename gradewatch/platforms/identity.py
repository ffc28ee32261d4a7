"""Who a supervised worker is: handed down in its environment by the supervisor, and written in its session."""

from __future__ import annotations

import os
import secrets
from collections.abc import MutableMapping
from dataclasses import dataclass

TARGET = "GRADEWATCH_TARGET"
INCARNATION = "GRADEWATCH_INCARNATION"


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
        """This worker's own, out of its environment, where it would be wrong for the worker's own children."""
        return cls(environ.pop(TARGET, ""), environ.pop(INCARNATION, ""))

    def variables(self) -> dict[str, str]:
        return {TARGET: self.target, INCARNATION: self.incarnation}
