"""Programs of a real supervisord: seen, told how they ended, restarted, and never stopped by us."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web
from children import DRAINS, IGNORES_TERM, WAITS, gone
from real_parts import need

from gradewatch.errors import Conflict, PlatformError
from gradewatch.http.port import reserve
from gradewatch.model import ExitKind, Sight, Target
from gradewatch.platforms.identity import Identity
from gradewatch.platforms.supervisor import SupervisorPlatform, sighting

WITHIN = 15.0
DIES = [sys.executable, "-S", "-c", "import time, os; time.sleep(float(os.environ['LIFE'])); os._exit(3)"]
TELLS = [
    sys.executable, "-S", "-c",
    "import os, time\nfor k in ('SUPERVISOR_ENABLED','SUPERVISOR_PROCESS_NAME','SUPERVISOR_GROUP_NAME'):\n"
    " print(k, os.environ[k], flush=True)\ntime.sleep(600)",
]  # fmt: skip


def program(name: str, argv: list[str], folder: Path, **options: object) -> str:
    script = folder / f"{name}.py"
    script.write_text(argv[-1])
    plain = {
        "autostart": "false",
        "startsecs": 0,
        "autorestart": "unexpected",
        "stopsignal": "KILL",
        "stdout_logfile": folder / f"{name}.log",
    }
    lines = [f"[program:{name}]", f"command={sys.executable} -S -E {script}" if "os.environ" not in argv[-1] else
             f"command={sys.executable} -S {script}"]  # fmt: skip
    return "\n".join([*lines, *(f"{key}={value}" for key, value in {**plain, **options}.items())]) + "\n"


@dataclass
class Supervisord:
    """A running one; `url` is its unix socket, `port` its HTTP port, where it wants ann's password."""

    url: str
    port: int
    folder: Path

    def platform(self, *programs: str, **options: str) -> SupervisorPlatform:
        return SupervisorPlatform(options.pop("url", self.url), programs, queues=("default",), **options)  # type: ignore[arg-type]

    async def started(self, program: str) -> SupervisorPlatform:
        """The platform of that one program, which was just started and says that it is ready, where it says so."""
        log = self.folder / f"{program}.log"
        log.write_text("")
        platform = self.platform(program)
        await rpc(platform, "startProcess", program, False)
        if program in ("waits", "drains", "stubborn"):
            await eventually(lambda: "ready" in log.read_text(), "its signal handling is in place")
        return platform


async def eventually(look: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + WITHIN
    while True:
        found = look()
        if await found if asyncio.iscoroutine(found) else found:
            return
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.02)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervisord]:
    need("supervisord", importlib.util.find_spec("supervisor") is not None, "pip install supervisor")
    folder = tmp_path_factory.mktemp("supervisord")
    listener = reserve("127.0.0.1", 0)
    port = listener.getsockname()[1]
    listener.close()
    # A short path: a unix socket's may have some hundred characters.
    socket = Path(f"/tmp/gw-supervisor-{os.getpid()}.sock")
    conf = folder / "supervisord.conf"
    conf.write_text(
        f"[supervisord]\nlogfile={folder}/supervisord.log\npidfile={folder}/supervisord.pid\nchildlogdir={folder}\n"
        f"[unix_http_server]\nfile={socket}\n[inet_http_server]\nport=127.0.0.1:{port}\nusername=ann\npassword=pa55\n"
        "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n"
        + program("waits", WAITS, folder)
        + program("drains", DRAINS, folder)
        + program("stubborn", IGNORES_TERM, folder, autorestart="true")
        + program("dies", DIES, folder, autorestart="false", environment='LIFE="0.2"')
        + program("tells", TELLS, folder, process_name="%(program_name)s_%(process_num)d", numprocs=2)
        + program("loops", DIES, folder, startsecs=1, startretries=0, environment='LIFE="0"')
        + program("flaps", DIES, folder, startsecs=1, startretries=9, environment='LIFE="0"')
        + f"[program:never]\ncommand={sys.executable}\nautostart=false\n"
        + f"[program:missing]\ncommand={folder}/no-such-program\nstartretries=0\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "supervisor.supervisord", "-n", "-c", str(conf)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + WITHIN
        while not socket.exists():
            assert process.poll() is None, (folder / "supervisord.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield Supervisord(f"unix://{socket}", port, folder)
    finally:
        process.terminate()
        try:
            process.wait(WITHIN)
        finally:
            process.kill()
            socket.unlink(missing_ok=True)


@pytest.fixture
async def supervisord(running: Supervisord) -> AsyncIterator[Supervisord]:
    """The one that all tests share, where nothing is left running by a test."""
    yield running
    await rpc(running.platform(), "stopAllProcesses", True)


async def one(platform: SupervisorPlatform) -> Target:
    [target] = await platform.targets()
    return target


async def seen(platform: SupervisorPlatform, what: Callable[[Target], bool]) -> Target:
    last: list[Target] = []

    async def look() -> bool:
        last[:] = [await one(platform)]
        return what(last[0])

    await eventually(look, "the target is as expected")
    return last[0]


def runs(target: Target) -> bool:
    return target.running and target.pid is not None


async def rpc(platform: SupervisorPlatform, method: str, *params: object) -> object:
    return await platform._call(method, *params)


# ---------------------------------------------------------------- what is seen


async def test_a_running_program_is_a_target_with_its_pid_and_age(supervisord: Supervisord) -> None:
    target = await seen(await supervisord.started("waits"), runs)
    assert (target.name, target.queues, target.wanted, target.sight) == ("waits", ("default",), True, Sight.PROCESS)
    assert not gone(target.pid or 0)
    assert 0 <= target.running_seconds < WITHIN + 2
    assert target.incarnation.startswith("waits.")
    assert target.incarnation.endswith(f".{target.pid}")
    assert (target.exits, target.ended_incarnations) == ((), ())


@pytest.mark.parametrize(
    ("asked", "names"),
    [("tells", ["tells:tells_0", "tells:tells_1"]), ("tells:*", ["tells:tells_0", "tells:tells_1"]),
     ("tells:tells_1", ["tells:tells_1"])],
)  # fmt: skip
async def test_a_group_is_all_of_its_processes(supervisord: Supervisord, asked: str, names: list[str]) -> None:
    assert [t.name for t in await supervisord.platform(asked).targets()] == names


async def test_a_worker_under_supervisord_knows_its_place_by_itself(supervisord: Supervisord) -> None:
    """With the variables that a real supervisord gives, a session carries the name that the platform uses."""
    await rpc(supervisord.platform(), "startProcess", "tells:*", False)
    log = supervisord.folder / "tells.log"
    await eventually(lambda: log.exists() and log.read_text().count("\n") >= 6, "both processes told their variables")
    lines = log.read_text().splitlines()
    names = {value for value in lines if value.startswith("SUPERVISOR_PROCESS_NAME")}
    assert names == {"SUPERVISOR_PROCESS_NAME tells_0", "SUPERVISOR_PROCESS_NAME tells_1"}
    environ = dict(line.split(" ", 1) for line in lines[:3])
    listed = {t.name for t in await supervisord.platform("tells").targets()}
    assert Identity.take({**environ, "INVOCATION_ID": "supervisord's own"}).target in listed
    assert Identity.take({**environ, "INVOCATION_ID": "supervisord's own"}).incarnation == ""


async def test_a_program_stopped_by_its_operator_is_not_wanted_and_not_restarted(supervisord: Supervisord) -> None:
    platform = await supervisord.started("waits")
    await seen(platform, runs)
    await rpc(platform, "stopProcess", "waits")
    target = await one(platform)
    assert (target.running, target.wanted) == (False, False)
    with pytest.raises(Conflict, match="stopped on purpose"):
        await platform.restart("waits", target.incarnation)


async def test_an_exit_is_told_with_its_code(supervisord: Supervisord) -> None:
    platform = await supervisord.started("dies")
    target = await seen(platform, lambda t: not t.running and t.wanted)
    assert (target.last_exit.kind, target.last_exit.status) == (ExitKind.EXITED, 3)
    [end] = target.exits
    assert end.lifetime <= 2
    assert end.seconds_ago <= WITHIN


async def test_a_program_that_was_never_started_is_not_wanted(supervisord: Supervisord) -> None:
    target = await one(supervisord.platform("never"))
    assert (target.running, target.wanted, target.exits) == (False, False, ())


async def test_a_signal_is_told_as_one(supervisord: Supervisord) -> None:
    platform = await supervisord.started("stubborn")
    old = await seen(platform, runs)
    os.kill(old.pid, signal.SIGKILL)
    new = await seen(platform, lambda t: runs(t) and t.pid != old.pid)
    assert new.incarnation != old.incarnation
    assert len(new.exits) == 1, "supervisord was quicker than we, and its start tells that a life ended"


async def test_what_supervisord_gave_up_is_a_crash_loop(supervisord: Supervisord) -> None:
    platform = await supervisord.started("loops")
    target = await seen(platform, lambda t: not t.running and t.wanted)
    assert target.last_exit.kind is ExitKind.CRASH_LOOP
    assert "Exited too quickly" in str(target.last_exit)


async def test_what_supervisord_starts_again_by_itself_is_left_to_it(supervisord: Supervisord) -> None:
    platform = await supervisord.started("flaps")
    target = await seen(platform, lambda t: t.wanted and bool(t.exits) and t.pid is None)
    assert (target.running, target.running_seconds) == (True, 0.0)
    assert target.last_exit.detail == "Exited too quickly (process log may have details)"


# ---------------------------------------------------------------- restart


@pytest.mark.parametrize("name", ["waits", "drains", "stubborn"])
async def test_a_restart_ends_the_old_process_and_shows_the_new(supervisord: Supervisord, name: str) -> None:
    platform = await supervisord.started(name)
    old = await seen(platform, runs)
    new = await platform.restart(name, old.incarnation)
    assert gone(old.pid or 0)
    now = await seen(platform, runs)
    assert now.incarnation == new != old.incarnation
    assert len(now.exits) == 1


async def test_a_stopped_process_is_restarted(supervisord: Supervisord) -> None:
    platform = await supervisord.started("drains")
    old = await seen(platform, runs)
    os.kill(old.pid, signal.SIGSTOP)
    assert await platform.restart("drains", old.incarnation) != old.incarnation
    assert gone(old.pid or 0)


async def test_a_dead_program_is_started_again(supervisord: Supervisord) -> None:
    platform = await supervisord.started("dies")
    dead = await seen(platform, lambda t: not t.running and t.wanted)
    assert await platform.restart("dies", dead.incarnation) != dead.incarnation


async def test_another_life_is_a_conflict_and_untouched(supervisord: Supervisord) -> None:
    platform = await supervisord.started("waits")
    now = await seen(platform, runs)
    with pytest.raises(Conflict, match="restarted meanwhile"):
        await platform.restart("waits", "waits.1.2")
    assert (await one(platform)).pid == now.pid


async def test_what_cannot_be_started_says_why(supervisord: Supervisord) -> None:
    platform = supervisord.platform("missing")
    dead = await seen(platform, lambda t: not t.running)
    assert "can't find command" in str(dead.last_exit)
    with pytest.raises(PlatformError, match="supervisord cannot start missing: NO_FILE"):
        await platform.restart("missing", dead.incarnation)


# ---------------------------------------------------------------- HTTP, refusals, faults


async def test_over_http_with_the_right_password(supervisord: Supervisord) -> None:
    await supervisord.started("waits")
    address = f"http://127.0.0.1:{supervisord.port}"
    platform = supervisord.platform("waits", url=address, username="ann", password="pa55")
    assert (await seen(platform, runs)).name == "waits"
    for wrong in ({}, {"username": "ann", "password": "hunter2"}):
        with pytest.raises(PlatformError, match="SUPERVISOR_USERNAME and SUPERVISOR_PASSWORD") as refused:
            await supervisord.platform("waits", url=address, **wrong).targets()
        assert "hunter2" not in str(refused.value)


async def test_an_unknown_program_is_named_with_those_there_are(supervisord: Supervisord) -> None:
    with pytest.raises(PlatformError, match=r'no program "grader".*waits.*supervisorctl update'):
        await supervisord.platform("grader").targets()
    with pytest.raises(PlatformError, match='does not know "grader": BAD_NAME'):
        await supervisord.platform("grader").restart("grader", "x")


@pytest.mark.parametrize("url", ["unix:///tmp/gw-no-such.sock", "http://127.0.0.1:1"])
async def test_a_supervisord_that_is_not_there_is_said(url: str) -> None:
    with pytest.raises(PlatformError, match="supervisord cannot be reached"):
        await SupervisorPlatform(url, ["waits"], queues=()).targets()


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (200, "<html>hello</html>", "not XML-RPC"),
        (200, "", "not XML-RPC"),
        (200, "<methodResponse><params><param><value><int>x</int></value></param></params></methodResponse>",
         "not XML-RPC"),
        (500, "boom\x1b[31m", "answered 500 where XML-RPC was expected: boom"),
        (302, "", "answered 302"),
        (200, "<methodResponse><params><param><value><array><data><value><int>1</int></value></data></array></value>"
              "</param></params></methodResponse>", "no process"),
    ],
)  # fmt: skip
async def test_an_answer_that_is_none_is_no_evidence(status: int, body: str, words: str) -> None:
    async def answer(request: web.Request) -> web.Response:
        headers = {"Location": "/elsewhere"} if status == 302 else {}
        return web.Response(status=status, text=body, headers=headers)

    app = web.Application()
    app.router.add_post("/RPC2", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
        with pytest.raises(PlatformError, match=words) as told:
            await SupervisorPlatform(url, ["waits"], queues=()).targets()
        assert str(told.value).isprintable()
    finally:
        await runner.cleanup()


def test_an_unknown_state_is_no_evidence_of_death() -> None:
    info = {"name": "a", "group": "a", "state": 1000, "statename": "UNKNOWN", "start": 5, "stop": 0, "now": 9, "pid": 0,
            "exitstatus": 0, "spawnerr": ""}  # fmt: skip
    with pytest.raises(PlatformError, match="does not know the state of a"):
        sighting(info)
