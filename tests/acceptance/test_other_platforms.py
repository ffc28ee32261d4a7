"""Workers that somebody else keeps: restarted by a command, by supervisord, and what one tells systemd."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from chaos_kit import GRADEWATCH, Scene, until
from real_parts import need

from gradewatch.model import Session

pytestmark = pytest.mark.acceptance

PLATFORM = {"REMEDIATION__START_GRACE": "1s", "REMEDIATION__VERIFY": "8s"}


def exports(scene: Scene) -> str:
    """The scene's settings as lines of a shell script, for a worker that the watch starts with a bare environment."""
    ours = {k: v for k, v in scene.environ.items() if k.startswith("GRADEWATCH_")}
    return "".join(f"export {key}={shlex.quote(value)}\n" for key, value in ours.items())


async def verified(scene: Scene, count: int) -> list[tuple[str, str]]:
    """Wait until so many restarts have been seen to help; (subject, reason) of each restart there was."""

    async def done() -> list[tuple[str, str]] | None:
        entries = await scene.audit("restart")
        assert all(e.outcome.value == "applied" and e.verified is not False for e in entries), entries
        return [(e.subject, e.reason) for e in entries] if sum(e.verified is True for e in entries) >= count else None

    return await until(done, f"{count} restarts have helped")


async def beating(scene: Scene, target: str) -> Session:
    async def there() -> Session | None:
        return next(
            (s for s in await scene.store.sessions() if s.target == target and not s.ended_at and s.beats), None
        )

    return await until(there, f"a worker in {target} beats")


async def test_a_command_brings_back_a_worker_that_nobody_can_see(scene: Scene) -> None:
    """It was never started, then it hangs; all the watch has is its silence and a script."""
    pid, start = scene.folder / "pid", scene.folder / "start.sh"
    start.write_text(
        f'#!/bin/sh\n{exports(scene)}export GRADEWATCH_TARGET="$1"\n[ -e {pid} ] && kill -9 $(cat {pid})\n'
        f"cd {scene.folder}\n{shlex.join(GRADEWATCH)} worker >> worker.log 2>&1 &\necho $! > {pid}\n"
    )
    start.chmod(0o755)
    ids = await scene.submit(1, 40)
    scene.start(
        "watch",
        **PLATFORM | {"REMEDIATION__VERIFY": "10s"},
        PLATFORM__KIND="command",
        PLATFORM__TARGETS="grader",
        PLATFORM__RESTART=json.dumps([str(start), "{target}"]),
    )
    [(subject, reason)] = await verified(scene, 1)
    assert (subject, reason) == ("grader", "worker_never_seen")
    old = await beating(scene, "grader")
    await scene.freeze(old.pid)
    restarts = await verified(scene, 2)
    assert restarts[1:] == [("grader", "worker_not_running")]
    assert (await beating(scene, "grader")).pid != old.pid
    assert not psutil.pid_exists(old.pid) or psutil.Process(old.pid).status() == psutil.STATUS_ZOMBIE
    await scene.graded_once(ids)


@pytest.fixture
def supervisord(scene: Scene) -> Iterator[Path]:
    """A real one with one worker, and the path of its socket."""
    need("supervisord", importlib.util.find_spec("supervisor") is not None, "pip install supervisor")
    path = Path(f"/tmp/gw-acceptance-{os.getpid()}.sock")  # a unix socket's path may have some hundred characters
    (scene.folder / "supervisord.conf").write_text(
        f"[supervisord]\nlogfile=supervisord.log\npidfile=supervisord.pid\n[unix_http_server]\nfile={path}\n"
        "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n"
        f"[program:grader]\ncommand={shlex.join(GRADEWATCH)} worker\nautorestart=true\nstartsecs=1\nstopsignal=KILL\n"
        "stdout_logfile=worker.log\nredirect_stderr=true\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "supervisor.supervisord", "-n", "-c", "supervisord.conf"],
        cwd=scene.folder, env=scene.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield path
    finally:
        process.terminate()
        process.wait(20)
        path.unlink(missing_ok=True)


async def test_supervisord_restarts_what_dies_and_the_watch_what_hangs(scene: Scene, supervisord: Path) -> None:
    first = await beating(scene, "grader")
    ids = await scene.submit(1, 40)
    scene.start(
        "watch",
        **PLATFORM,
        PLATFORM__KIND="supervisor",
        PLATFORM__URL=f"unix://{supervisord}",
        PLATFORM__TARGETS="grader",
    )
    os.kill(first.pid, signal.SIGKILL)

    async def second_life() -> Session | None:
        found = await scene.store.sessions()
        return next(
            (s for s in found if s.target == "grader" and not s.ended_at and s.beats and s.pid != first.pid), None
        )

    second = await until(second_life, "supervisord has started it again by itself")
    assert await scene.audit("restart") == []
    await scene.freeze(second.pid)
    assert await verified(scene, 1) == [("grader", "worker_not_running")]
    await scene.graded_once(ids)


async def test_a_worker_tells_systemd_how_it_is(scene: Scene) -> None:
    there = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    there.setblocking(False)
    address = Path(f"/tmp/gw-notify-{os.getpid()}")
    there.bind(str(address))
    heard: list[dict[str, str]] = []

    def hear(key: str, value: str) -> bool:
        while True:
            try:
                heard.append(dict(line.split("=", 1) for line in there.recv(65536).decode().split("\n")))
            except BlockingIOError:
                return any(message.get(key) == value for message in heard)

    try:
        unit = {"GRADEWATCH_TARGET": "grader.service", "INVOCATION_ID": "b2a7", "NOTIFY_SOCKET": str(address)}
        worker = scene.start("worker", environ={**unit, "WATCHDOG_USEC": "600000"})
        await until(lambda: hear("READY", "1"), "it says that it is ready")
        assert heard[0]["READY"] == "1"
        await until(lambda: hear("WATCHDOG", "1"), "it gives a sign of life")
        await until(lambda: hear("STATUS", "0 of 1 slots busy"), "it says what it does")
        session = await beating(scene, "grader.service")
        assert session.incarnation == "b2a7"
        worker.kill(signal.SIGTERM)
        assert await worker.ended() == 0
        assert hear("STOPPING", "1")
    finally:
        there.close()
        address.unlink()
