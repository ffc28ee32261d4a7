"""Who a supervised worker is: handed down in its environment by the supervisor, and written in its session.

In a pod, Kubernetes' downward API hands down the pod's name and UID. A pod outlives the processes in it: its container
is started again in place. So a worker that was given a bare UID makes up a life within it, and writes that into its
termination log: a file that Kubernetes keeps for each life of a container, and tells once that life has ended, however
it did. What the API server then shows is proof that this very life is over, and by no clock.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

TARGET = "GRADEWATCH_TARGET"
INCARNATION = "GRADEWATCH_INCARNATION"
SYSTEMD_INVOCATION = "INVOCATION_ID"  # systemd.exec(5)
SUPERVISORD = "SUPERVISOR_ENABLED"  # as supervisord sets it for each of its children, with the two names below
RENDER = "RENDER_SERVICE_ID"
TERMINATION_LOG = "GRADEWATCH_TERMINATION_LOG"  # where a pod's terminationMessagePath is another than the usual
USUAL_LOG = "/dev/termination-log"
_POD_UID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


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
        file = Path(environ.pop(TERMINATION_LOG, "") or USUAL_LOG)
        if target and not incarnation and SUPERVISORD not in environ:
            # Only with a target: whatever is started from a systemd session has the invocation of that.
            incarnation = environ.get(SYSTEMD_INVOCATION, "")
        life = _life_of_pod(incarnation, file) if _POD_UID.fullmatch(incarnation) else incarnation
        return cls(target or _place(environ), life)

    def variables(self) -> dict[str, str]:
        return {TARGET: self.target, INCARNATION: self.incarnation}


def _place(environ: Mapping[str, str]) -> str:
    """The name by which supervisord or Render know the place this process fills; empty for no such place."""
    if SUPERVISORD in environ and (name := environ.get("SUPERVISOR_PROCESS_NAME", "")):
        group = environ.get("SUPERVISOR_GROUP_NAME", name)
        return name if group == name else f"{group}:{name}"
    return environ.get(RENDER, "")


def _life_of_pod(uid: str, file: Path) -> str:
    """A new life of that pod, told to Kubernetes; the UID alone where it cannot be told, for nobody could then prove
    the end of such a life."""
    life = f"{uid}/{secrets.token_hex(6)}"
    try:
        with file.open("r+") as termination_log:  # never made: without one, this is no container of a pod
            termination_log.write(f"gradewatch worker {life}\n")
    except OSError as error:
        log.info("no termination log; a restart of this container is noticed by missed beats", error=error.strerror)
        return uid
    return life
