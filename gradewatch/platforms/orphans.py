"""No worker outlives its supervisor: what a supervised child arranges for itself as it starts.

Not by prctl(2) PR_SET_PDEATHSIG: the kernel sends that signal once for each *thread* of the dying supervisor, so a
worker that drains at the first SIGTERM would be hurried by the second; and it sends it too when only the thread that
started the worker ends.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time

import structlog

from gradewatch.errors import PlatformError

log = structlog.get_logger(__name__)

PARENT_PID = "GRADEWATCH_PARENT_PID"  # set by the process platform for every child
_POLL = 0.5  # seconds between two looks at who our parent is, where the kernel cannot tell us


def die_with_parent(grace: float = 30.0) -> bool:
    """Make this process end when the one that supervises it is gone, however that one ended.

    Call it once, first thing in a worker's main. It does nothing, and returns False, when no supervisor started this
    process. Otherwise this process gets one SIGTERM as soon as its supervisor is gone (at once on Linux, within half
    a second elsewhere), so that it drains; and SIGKILL with its whole process group `grace` seconds later, should it
    be too stuck to drain. A process held by SIGSTOP ends when it is continued.

    Raises PlatformError when the supervisor is already gone, or its pid in the environment is not one.
    """
    # Taken out of the environment, because it would be wrong for this process's own children.
    text = os.environ.pop(PARENT_PID, "")
    if not text:
        return False
    if not text.isdecimal():
        raise PlatformError(f"{PARENT_PID} is {text!r}, not a process id: it is set by the supervisor; unset it")
    parent = int(text)
    handle = _handle_of(parent)
    # Looked at after the handle was taken: so it is our parent's, and not that of a later process with the same pid.
    if os.getppid() != parent:
        raise PlatformError(
            f"The process that started this worker (pid {parent}) is already gone, so the worker does not start: "
            "it would run without anybody watching it. Start the supervisor again."
        )
    # A thread, because a blocked event loop neither sees this nor gets to handle SIGTERM.
    threading.Thread(target=_outlast, args=(parent, handle, grace), name="die-with-parent", daemon=True).start()
    return True


def _handle_of(pid: int) -> int | None:
    """A pidfd, which becomes readable when that process has ended; None where there is none to be had."""
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        log.debug("no handle of the supervisor; looking at its pid instead", parent=pid, error=str(error))
        return None


def _outlast(parent: int, handle: int | None, grace: float) -> None:
    if handle is not None:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        poll.poll()
    while os.getppid() == parent:
        time.sleep(_POLL)
    log.warning("supervisor is gone; the worker drains", parent=parent, grace=grace)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace)
    log.error("worker has not drained in time after its supervisor went; killing it", grace=grace)
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
