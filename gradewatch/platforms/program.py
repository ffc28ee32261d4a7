"""Run somebody's program: an argv and no shell, a deadline, a bounded output, an environment without our secrets."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from gradewatch.errors import PlatformError

KEPT = 64 * 1024  # bytes of each output that are kept, the last of them
TAIL = 300  # characters of output in an error
LINGER = 0.5  # seconds for the output to end once the program has: what it started may hold it open for ever
HARMLESS = (
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR",
    "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ran:
    """How a program ended. `whole` is False when its standard output was longer than what is kept."""

    code: int
    out: str
    err: str
    whole: bool = True

    @property
    def tail(self) -> str:
        """The end of what it said, on one line."""
        said = " ".join((self.err.strip() or self.out.strip()).split())
        said = "".join(c for c in said if c.isprintable())
        return ("…" + said[-TAIL:] if len(said) > TAIL else said) or "it said nothing"


def environment(environ: Mapping[str, str], passed: Collection[str] = ()) -> dict[str, str]:
    """What such a program is given: what nearly every program needs, and the variables named in `passed`."""
    return {name: environ[name] for name in (*HARMLESS, *passed) if name in environ}


async def run(argv: Sequence[str], *, timeout: float, env: Mapping[str, str]) -> Ran:
    """Run it to its end. Raises PlatformError when it cannot be started, or runs longer than `timeout` seconds: then
    it is killed with all that it started. What it leaves running when it ends in time is left alone."""
    out, err = await _Tail.open(), await _Tail.open()
    try:
        process = await _spawn(argv, env, out.end, err.end)
    except PlatformError:
        await asyncio.gather(out.settle(), err.settle())
        raise
    try:
        async with asyncio.timeout(timeout):
            code = await process.wait()
    except TimeoutError:
        _kill(process.pid)
        await process.wait()
        await asyncio.gather(out.settle(), err.settle())
        said = Ran(-1, out.text, err.text).tail
        raise PlatformError(
            f"{argv[0]} did not end within {timeout:g} s and was killed; it last said: {said}"
        ) from None
    except asyncio.CancelledError:
        _kill(process.pid)
        await process.wait()
        raise
    finally:
        await asyncio.gather(out.settle(), err.settle())
    return Ran(code, out.text, err.text, out.whole)


async def _spawn(argv: Sequence[str], env: Mapping[str, str], out: int, err: int) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *argv, stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=err, env=dict(env), start_new_session=True
        )
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else "") or "its arguments cannot be passed"
        raise PlatformError(f"{argv[0]} cannot be started: {why}") from error
    finally:
        os.close(out)
        os.close(err)


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):  # it ended just now
        os.killpg(pid, signal.SIGKILL)


class _Tail:
    """The end of one output, read as it comes, so that a program which says much is never held up. A pipe of our own,
    because one of asyncio's stays open for as long as anything that the program left running holds it."""

    def __init__(self, end: int, transport: asyncio.ReadTransport, reader: asyncio.StreamReader) -> None:
        self.end = end  # the end that the program writes to; whoever spawns it closes ours
        self._transport, self._kept = transport, bytearray()
        self._reading = asyncio.create_task(_follow(reader, self._kept))

    @classmethod
    async def open(cls) -> _Tail:
        loop, reader = asyncio.get_running_loop(), asyncio.StreamReader()
        read, write = os.pipe()
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read, "rb"))
        return cls(write, transport, reader)

    async def settle(self) -> None:
        """Read what there is still to come, for a moment, and let the pipe go."""
        await asyncio.wait({self._reading}, timeout=LINGER)
        self._reading.cancel()
        self._transport.close()

    @property
    def whole(self) -> bool:
        return len(self._kept) < KEPT

    @property
    def text(self) -> str:
        return self._kept.decode("utf-8", "replace")


async def _follow(reader: asyncio.StreamReader, kept: bytearray) -> None:
    while chunk := await reader.read(65536):
        kept += chunk
        del kept[:-KEPT]
