"""What children print, line by line. The pipe is always drained: a child never blocks on its own output."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import structlog

log = structlog.get_logger(__name__)

OnLine = Callable[[str, str], None]  # (name of the child, line without its newline)

MAX_LINE = 8192  # bytes; the rest of a longer line is dropped and "…" put in its place
_CHUNK = 65536  # bytes: a pipe's capacity on Linux
_LAST_CHUNKS = 16  # read at the end at most: a helper that got away might write for ever


class LinePump:
    """Reads one end of a pipe on the event loop and hands on each line. Owns the descriptor."""

    def __init__(self, fd: int, name: str, on_line: OnLine) -> None:
        self._fd = fd
        self._name = name
        self._on_line = on_line
        self._line = b""  # the line under way, never longer than MAX_LINE + 1
        self._open = True
        self._loop = asyncio.get_running_loop()
        os.set_blocking(fd, False)
        self._loop.add_reader(fd, self._read)

    def finish(self) -> None:
        """Take what is left in the pipe and close it; for a child that has ended."""
        for _ in range(_LAST_CHUNKS):
            if not self._open or not self._read():
                break
        self._close()

    def _read(self) -> bool:
        """False when there is no more to be had now."""
        try:
            chunk = os.read(self._fd, _CHUNK)
        except BlockingIOError:
            return False
        if not chunk:
            self._close()
            return False
        first, *rest = chunk.split(b"\n")
        self._extend(first)
        for part in rest:
            self._emit()
            self._extend(part)
        return True

    def _extend(self, part: bytes) -> None:
        self._line += part[: MAX_LINE + 1 - len(self._line)]

    def _emit(self) -> None:
        line, self._line = self._line, b""
        text = line[:MAX_LINE].decode("utf-8", "replace") + ("…" if len(line) > MAX_LINE else "")
        try:
            self._on_line(self._name, text)
        except Exception:  # whoever listens must not be able to stop the child
            log.exception("output callback failed", worker=self._name)

    def _close(self) -> None:
        if not self._open:
            return
        self._open = False
        self._loop.remove_reader(self._fd)
        os.close(self._fd)
        if self._line:
            self._emit()
