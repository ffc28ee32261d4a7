"""Commands of somebody's own: how they are run, what their answer means, what an error tells."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from children import gone, until

from gradewatch.errors import Conflict, PlatformError
from gradewatch.model import ExitKind, Sight, Target
from gradewatch.platforms.command import CommandPlatform
from gradewatch.platforms.program import KEPT, environment, run

SH = "/bin/sh"


def sh(script: str, *arguments: str) -> list[str]:
    return [SH, "-c", script, "sh", *arguments]


def platform(restart: list[str], *names: str, environ: dict[str, str] | None = None, **options: Any) -> CommandPlatform:
    given = {"PATH": os.environ["PATH"]} | (environ or {})
    return CommandPlatform(names or ["w1"], queues=("default",), restart=restart, environ=given, **options)


async def only(of: CommandPlatform) -> Target:
    [target] = await of.targets()
    return target


# ---------------------------------------------------------------- a program


async def test_a_program_is_run_without_a_shell_to_its_end() -> None:
    ran = await run([sys.executable, "-S", "-c", "import sys; print(sys.argv[1]); sys.exit(3)", "a; b $HOME"],
                    timeout=10, env={})  # fmt: skip
    assert (ran.code, ran.out, ran.err, ran.whole) == (3, "a; b $HOME\n", "", True)


async def test_the_end_of_much_output_is_kept_and_nothing_is_held_up() -> None:
    ran = await run(sh("head -c 3000000 /dev/zero | tr '\\0' x; echo; echo last words"), timeout=20, env=os.environ)
    assert ran.code == 0
    assert not ran.whole
    assert len(ran.out) == KEPT
    assert ran.out.endswith("last words\n")
    assert len(ran.tail) < 400


async def test_a_program_past_its_deadline_is_killed_with_what_it_started() -> None:
    began = time.monotonic()
    with pytest.raises(
        PlatformError, match=r"/bin/sh did not end within 0.5 s and was killed; it last said: pid \d+"
    ) as told:
        await run(sh("sleep 600 & echo pid $!; wait"), timeout=0.5, env=os.environ)
    assert time.monotonic() - began < 5
    child = int(str(told.value).rsplit(" ", 1)[1])
    await until(lambda: gone(child))


async def test_a_caller_that_goes_away_leaves_no_program_behind(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    running = asyncio.create_task(run(sh(f"echo $$ > {note}; exec sleep 600"), timeout=60, env=os.environ))
    await until(lambda: note.exists() and note.read_text().endswith("\n"))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert running.cancelled()
    await until(lambda: gone(int(note.read_text())))


async def test_what_it_leaves_running_is_left_alone_and_not_waited_for(tmp_path: Path) -> None:
    """`worker &` in a restart script is the worker itself."""
    note = tmp_path / "pid"
    began = time.monotonic()
    ran = await run(sh(f"sleep 600 & echo $! > {note}"), timeout=20, env=os.environ)
    assert ran.code == 0
    assert time.monotonic() - began < 10
    left = psutil.Process(int(note.read_text()))
    assert left.status() != psutil.STATUS_ZOMBIE
    left.kill()
    await until(lambda: gone(left.pid))


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["/no/such/program"], "cannot be started: No such file or directory"),
        (["/etc/passwd"], "cannot be started: Permission denied"),
        ([SH, "a\0b"], "its arguments cannot be passed"),
    ],
)
async def test_what_cannot_be_started_says_why(argv: list[str], words: str) -> None:
    with pytest.raises(PlatformError, match=words):
        await run(argv, timeout=5, env={})


async def test_files_and_pipes_are_closed() -> None:
    await run([SH, "-c", "true"], timeout=5, env={})
    before = psutil.Process().num_fds()
    for _ in range(10):
        await run([SH, "-c", "echo x"], timeout=5, env={})
        with pytest.raises(PlatformError):
            await run(["/no/such/program"], timeout=5, env={})
    assert psutil.Process().num_fds() <= before + 1


def test_of_our_environment_it_is_given_what_is_harmless_and_what_is_named() -> None:
    ours = {"PATH": "/bin", "HOME": "/root", "GROQ_API_KEY": "gsk_1", "GRADEWATCH_STORE__URL": "x", "DOCKER_HOST": "h"}
    assert environment(ours) == {"PATH": "/bin", "HOME": "/root"}
    assert environment(ours, ["DOCKER_HOST", "ABSENT"]) == {"PATH": "/bin", "HOME": "/root", "DOCKER_HOST": "h"}


# ---------------------------------------------------------------- without a status command


async def test_without_a_status_a_target_is_one_that_nobody_sees() -> None:
    target = await only(platform(sh("exit 1")))
    assert (target.name, target.queues, target.sight, target.running) == ("w1", ("default",), Sight.NONE, True)
    assert (target.pid, target.exits) == (None, ())


async def test_a_restart_runs_the_command_for_that_target_and_begins_a_new_life(tmp_path: Path) -> None:
    note = tmp_path / "note"
    of = platform(sh('echo "$1/$GROQ_API_KEY/$EXTRA" >> ' + str(note), "x{target}y"), "a", "b; rm -rf /",
                  environ={"GROQ_API_KEY": "gsk_secret", "EXTRA": "e"}, passed=["EXTRA"])  # fmt: skip
    a, b = await of.targets()
    new = await of.restart(b.name, b.incarnation)
    assert note.read_text() == "xb; rm -rf /y//e\n"
    again_a, again_b = await of.targets()
    assert (again_a.incarnation, again_b.incarnation) == (a.incarnation, new)
    assert new != b.incarnation
    assert again_b.running_seconds < again_a.running_seconds


async def test_a_failed_restart_tells_its_last_words_and_changes_nothing() -> None:
    of = platform(sh("echo starting; echo 'no such container: w1' >&2; exit 7"))
    before = await only(of)
    with pytest.raises(PlatformError, match=r"platform.restart for w1 ended with exit code 7: no such container: w1"):
        await of.restart("w1", before.incarnation)
    assert (await only(of)).incarnation == before.incarnation


async def test_a_restart_that_hangs_is_ended_by_its_own_deadline() -> None:
    of = platform(sh("exec sleep 600"), restart_timeout=0.4)
    with pytest.raises(PlatformError, match=r"did not end within 0\.4 s"):
        await of.restart("w1", (await only(of)).incarnation)


async def test_only_the_targets_of_the_settings_are_restarted(tmp_path: Path) -> None:
    of = platform(sh(f"touch {tmp_path}/ran"))
    with pytest.raises(PlatformError, match="no target 'other' here, only: w1"):
        await of.restart("other", "")
    with pytest.raises(Conflict, match="w1 is no longer an earlier life"):
        await of.restart("w1", "an earlier life")
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- with one


def told(**words: Any) -> list[str]:
    return ["/bin/echo", json.dumps(words)]


@pytest.mark.parametrize(("code", "running"), [(0, True), (1, False), (2, False), (3, False)])
async def test_the_exit_code_of_a_status_is_that_of_the_linux_standard_base(code: int, running: bool) -> None:
    target = await only(platform(sh("exit 0"), status=sh(f"exit {code}")))
    assert (target.running, target.wanted, target.sight) == (running, True, Sight.NONE)
    if not running:
        assert str(target.last_exit) == "not running, says its status command"


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (sh("echo broken pipe >&2; exit 4"), "ended with exit code 4, where 0 means running"),
        (sh("kill -9 $$"), "ended with exit code -9"),
        (sh("echo '{\"running\": 1}'"), 'no JSON object with "running" true or false'),
        (sh("echo '{\"up\": true}'"), 'no JSON object with "running" true or false'),
        (sh("echo '{\"running\": true, \"colour\": \"red\"}'"), "of these only"),
        (sh("echo '{'"), "no JSON object"),
        (sh("printf '{\"running\": true, \"reason\": \"'; head -c 100000 /dev/zero | tr '\\0' x; echo '\"}'"),
         "more than 64 KB"),
        (sh("echo '{\"running\": true, \"pid\": true}'"), "pid is not what is needed"),
        (sh("echo '{\"running\": true, \"running_seconds\": \"5\"}'"), "running_seconds is not what is needed"),
        (["/no/such/program"], "cannot be started"),
    ],
)  # fmt: skip
async def test_a_status_that_cannot_tell_is_no_evidence(status: list[str], words: str) -> None:
    with pytest.raises(PlatformError, match=words):
        await platform(sh("exit 0"), status=status).targets()


@pytest.mark.parametrize(
    ("words", "sight"),
    [
        ({"running": True}, Sight.NONE),
        ({"running": True, "running_seconds": 90}, Sight.PROCESS),
        ({"running": True, "incarnation": "container-7"}, Sight.LIFE),
        ({"running": True, "incarnation": "container-7", "running_seconds": 90.5, "pid": 12}, Sight.LIFE),
    ],
)
async def test_what_a_status_tells_decides_how_much_is_seen(words: dict[str, Any], sight: Sight) -> None:
    target = await only(platform(sh("exit 0"), status=told(**words)))
    assert (target.running, target.sight) == (True, sight)
    assert (target.incarnation, target.pid) == (words.get("incarnation", ""), words.get("pid"))
    assert target.running_seconds == pytest.approx(words.get("running_seconds", 0), abs=2)


async def test_an_end_that_a_status_tells_of(tmp_path: Path) -> None:
    answer = tmp_path / "answer"
    of = platform(sh("exit 0"), status=["/bin/cat", str(answer)])
    answer.write_text('{"running": true, "incarnation": "c1"}')
    await of.targets()
    answer.write_text('{"running": false, "incarnation": "c1", "exit_code": 137}')
    dead = await only(of)
    assert (dead.running, dead.ended_incarnations, str(dead.last_exit)) == (False, ("c1",), "exited with code 137")
    assert len((await only(of)).exits) == 1
    answer.write_text('{"running": false, "incarnation": "c2", "reason": "image not found", "no_restart": "no image"}')
    dead = await only(of)
    assert (dead.last_exit.kind, str(dead.last_exit), dead.no_restart) == (ExitKind.GONE, "image not found", "no image")
    answer.write_text('{"running": false, "incarnation": "c2", "wanted": false}')
    assert (await only(of)).wanted is False


async def test_ends_are_counted_where_a_status_knows_no_lives(tmp_path: Path) -> None:
    flag = tmp_path / "up"
    of = platform(sh("exit 0"), status=sh(f"test -e {flag}"))
    for times in (1, 2):
        flag.touch()
        assert (await only(of)).running
        flag.unlink()
        assert len((await only(of)).exits) == times
        assert len((await only(of)).exits) == times


async def test_a_life_that_the_status_no_longer_tells_of_is_a_conflict(tmp_path: Path) -> None:
    of = platform(sh(f"touch {tmp_path}/ran"), status=told(running=True, incarnation="c2"))
    with pytest.raises(Conflict, match="w1 is no longer c1, but c2"):
        await of.restart("w1", "c1")
    assert list(tmp_path.iterdir()) == []
    await of.restart("w1", "c2")
    assert [p.name for p in tmp_path.iterdir()] == ["ran"]


async def test_one_targets_trouble_is_told_and_no_program_is_left(tmp_path: Path) -> None:
    of = platform(sh("exit 0"), "good", "bad", status=sh('test "$1" = good || exit 9', "{target}"))
    with pytest.raises(PlatformError, match=r"platform.status for bad ended with exit code 9"):
        await of.targets()
