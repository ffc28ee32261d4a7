"""The process platform with real children and real signals."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import psutil
import pytest
from children import DRAINS, IGNORES_TERM, WAITS, gone, python, until

from gradewatch.errors import Conflict, PlatformError
from gradewatch.model import ExitCause, ExitKind
from gradewatch.platforms.identity import Identity


async def test_running_child_is_a_target(supervise):
    s = supervise(WAITS, names=("w1", "w2"))
    await s.start()
    await s.ready(2)
    first, second = await s.platform.targets()
    assert (first.name, second.name, first.queues) == ("w1", "w2", ("default",))
    assert first.running
    assert first.wanted
    assert first.last_exit is None
    assert first.incarnation != second.incarnation
    assert first.ended_incarnations == ()
    assert 0 < first.running_seconds < 30
    assert psutil.pid_exists(first.pid)
    assert first.pid != second.pid


async def test_child_leads_its_own_session_and_knows_itself_and_its_supervisor(supervise):
    show = (
        "import os\nprint(os.environ['GRADEWATCH_TARGET'], os.environ['GRADEWATCH_INCARNATION'], "
        "os.environ['GRADEWATCH_PARENT_PID'], os.getsid(0) == os.getpid(), os.getpgrp() == os.getpid(), os.read(0, 1))"
    )
    s = supervise(python(show))
    await s.start()
    await s.ended()
    incarnation = (await s.target()).incarnation
    assert s.lines == [("w1", f"w1 {incarnation} {os.getpid()} True True b''")]


def test_identity_is_taken_out_of_the_environment():
    given = Identity.new("w1")
    environ = given.variables() | {"HOME": "/"}
    assert Identity.take(environ) == given
    assert environ == {"HOME": "/"}
    assert Identity.take(environ) == Identity("", "")


async def test_command_may_depend_on_the_name(supervise):
    s = supervise(lambda name: python(f"print('I am {name}')"), names=("a", "b"))
    await s.start()
    await s.ended(2)
    assert sorted(s.lines) == [("a", "I am a"), ("b", "I am b")]


@pytest.mark.parametrize("code", [0, 3])
async def test_exit_code_is_told(supervise, code):
    s = supervise(python(f"raise SystemExit({code})"))
    await s.start()
    await s.ended()
    target = await s.target()
    assert target.last_exit == ExitCause(ExitKind.EXITED, code)
    assert not target.running
    assert target.pid is None
    assert target.wanted
    assert target.running_seconds == 0.0
    assert target.ended_incarnations == (target.incarnation,)


async def test_sigkill_is_seen_at_once_and_named(supervise):
    s = supervise(WAITS)
    await s.start()
    await s.ready()
    before = await s.target()
    killed = time.monotonic()
    os.kill(before.pid, signal.SIGKILL)
    await s.ended()
    # Far below any polling interval, with room for a busy machine.
    assert s.woken[0] - killed < 0.5
    target = await s.target()
    assert target.last_exit == ExitCause(ExitKind.SIGNALLED, 9, "SIGKILL")
    assert str(target.last_exit) == "killed by SIGKILL"
    assert target.incarnation == before.incarnation
    [end] = target.exits
    assert end.cause == target.last_exit
    assert 0 <= end.seconds_ago < 10
    assert 0 < end.lifetime < 30


async def test_helpers_of_a_dead_worker_are_swept_away(supervise):
    s = supervise(["/bin/sh", "-c", "sleep 600 & echo $!; wait"])
    await s.start()
    await until(lambda: bool(s.lines))
    pid, helper_pid = (await s.target()).pid, int(s.lines[0][1])
    os.kill(pid, signal.SIGKILL)
    # The helper holds the output pipe open, which must not hold up the news.
    await s.ended()
    await until(lambda: gone(helper_pid))


async def test_failing_wake_callback_does_not_stop_the_others(supervise):
    s = supervise(python("raise SystemExit(1)"))
    late: list[bool] = []

    def fails() -> None:
        raise RuntimeError("listener broke")

    s.platform.on_event(fails)
    s.platform.on_event(lambda: late.append(True))
    await s.start()
    await until(lambda: bool(late))
    assert (await s.target()).last_exit == ExitCause(ExitKind.EXITED, 1)


async def test_restart_of_a_dead_child_gives_a_new_incarnation(supervise):
    s = supervise(WAITS)
    await s.start()
    await s.ready()
    before = await s.target()
    os.kill(before.pid, signal.SIGKILL)
    await s.ended()
    new = await s.platform.restart("w1", before.incarnation)
    target = await s.target()
    assert target.running
    assert target.incarnation == new != before.incarnation
    assert target.pid != before.pid
    assert target.ended_incarnations == (before.incarnation,)
    assert target.last_exit.detail == "SIGKILL"


async def test_restart_of_another_incarnation_conflicts(supervise):
    s = supervise(WAITS)
    await s.start()
    before = await s.target()
    with pytest.raises(Conflict, match=r"no longer w1\.old"):
        await s.platform.restart("w1", "w1.old")
    assert (await s.target()).pid == before.pid


async def test_second_of_two_restarts_conflicts(supervise):
    s = supervise(DRAINS)
    await s.start()
    await s.ready()
    incarnation = (await s.target()).incarnation
    first, second = await asyncio.gather(
        s.platform.restart("w1", incarnation), s.platform.restart("w1", incarnation), return_exceptions=True
    )
    assert isinstance(second, Conflict)
    assert (await s.target()).incarnation == first != incarnation
    assert len(s.woken) == 1


async def test_restart_of_a_stopped_process_that_ignores_sigterm_kills_it(supervise, monkeypatch):
    monkeypatch.setattr("gradewatch.platforms.process.RESTART_GRACE", 0.2)
    s = supervise(IGNORES_TERM)
    await s.start()
    await s.ready()
    hung = await s.target()
    os.kill(hung.pid, signal.SIGSTOP)
    new = await s.platform.restart("w1", hung.incarnation)
    target = await s.target()
    assert gone(hung.pid)
    assert target.incarnation == new != hung.incarnation
    assert target.last_exit == ExitCause(ExitKind.SIGNALLED, 9, "SIGKILL")


async def test_restart_of_a_stopped_process_lets_it_drain(supervise):
    s = supervise(DRAINS)
    await s.start()
    await s.ready()
    hung = await s.target()
    os.kill(hung.pid, signal.SIGSTOP)
    await s.platform.restart("w1", hung.incarnation)
    assert (await s.target()).last_exit == ExitCause(ExitKind.EXITED, 0)


async def test_cancelled_restart_leaves_the_target_restartable(supervise, monkeypatch):
    s = supervise(IGNORES_TERM)
    await s.start()
    await s.ready()
    before = await s.target()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(s.platform.restart("w1", before.incarnation), 0.1)
    assert (await s.target()).pid == before.pid
    monkeypatch.setattr("gradewatch.platforms.process.RESTART_GRACE", 0.1)
    new = await s.platform.restart("w1", before.incarnation)
    assert (await s.target()).incarnation == new


async def test_restart_of_an_unknown_target_names_the_known_ones(supervise):
    s = supervise(WAITS, names=("w1", "w2"))
    with pytest.raises(PlatformError, match=r"no worker 'w3', only: w1, w2"):
        await s.platform.restart("w3", "")


async def test_spawn_failure_is_told_and_can_be_repaired(supervise, tmp_path):
    missing = tmp_path / "worker"
    s = supervise([str(missing)])
    with pytest.raises(PlatformError, match=r"w1 could not be started: .*worker: No such file or directory"):
        await s.start()
    target = await s.target()
    assert not target.running
    assert target.wanted
    assert str(target.last_exit).startswith("could not be started")
    with pytest.raises(PlatformError):
        await s.platform.restart("w1", target.incarnation)
    missing.write_text("#!/bin/sh\necho ready\nexec sleep 600\n")
    missing.chmod(0o755)
    assert await s.platform.restart("w1", target.incarnation)
    await s.ready()
    assert (await s.target()).running
    assert len((await s.target()).exits) == 2


async def test_spawn_failure_leaks_no_descriptor(supervise):
    s = supervise(["/nonexistent/worker"])
    before = psutil.Process().num_fds()
    for _ in range(5):
        with pytest.raises(PlatformError):
            await s.start()
    assert psutil.Process().num_fds() == before


async def test_one_that_cannot_start_does_not_keep_the_others(supervise):
    s = supervise(lambda name: WAITS if name == "good" else ["/nonexistent/worker"], names=("bad", "good"))
    await s.start()
    assert not (await s.target("bad")).running
    assert (await s.target("good")).running


async def test_history_is_bounded_and_newest_last(supervise):
    s = supervise(["/bin/sh", "-c", "exit 7"])
    await s.start()
    for end in range(1, 26):
        await s.ended(end)
        if end < 25:
            await s.platform.restart("w1", (await s.target()).incarnation)
    target = await s.target()
    assert len(target.exits) == 20
    assert len(target.ended_incarnations) == 20
    assert len(set(target.ended_incarnations)) == 20
    assert target.ended_incarnations[-1] == target.incarnation
    ages = [end.seconds_ago for end in target.exits]
    assert ages == sorted(ages, reverse=True)


async def test_stop_drains_and_reports(supervise):
    s = supervise(DRAINS, names=("w1", "w2"))
    await s.start()
    await s.ready(2)
    stopped = await s.platform.stop()
    assert [(one.name, one.cause, one.killed) for one in stopped] == [
        ("w1", ExitCause(ExitKind.EXITED, 0), False),
        ("w2", ExitCause(ExitKind.EXITED, 0), False),
    ]
    assert not any(t.running or t.wanted for t in await s.platform.targets())
    assert await s.platform.stop() == ()


async def test_stop_kills_only_those_that_ignore_sigterm(supervise):
    s = supervise(lambda name: DRAINS if name == "good" else IGNORES_TERM, names=("good", "bad"), stop_timeout=0.5)
    await s.start()
    await s.ready(2)
    good, bad = await s.platform.stop()
    assert (good.cause, good.killed) == (ExitCause(ExitKind.EXITED, 0), False)
    assert (bad.cause, bad.killed) == (ExitCause(ExitKind.SIGNALLED, 9, "SIGKILL"), True)
    assert 0.5 <= bad.seconds < 5
    assert good.seconds < bad.seconds


async def test_stopped_target_is_not_restarted_until_started_again(supervise):
    s = supervise(DRAINS, names=("w1", "w2"))
    await s.start()
    await s.ready(2)
    before = await s.target("w1")
    stopped = await s.platform.stop_target("w1")
    assert stopped.cause == ExitCause(ExitKind.EXITED, 0)
    with pytest.raises(Conflict, match="on purpose"):
        await s.platform.restart("w1", before.incarnation)
    other = await s.target("w2")
    assert other.running
    await s.start()
    assert (await s.target("w1")).running
    assert (await s.target("w1")).wanted
    assert (await s.target("w2")).pid == other.pid


async def test_stop_during_a_restart_wins(supervise, monkeypatch):
    monkeypatch.setattr("gradewatch.platforms.process.RESTART_GRACE", 0.3)
    s = supervise(IGNORES_TERM)
    await s.start()
    await s.ready()
    incarnation = (await s.target()).incarnation
    restart = asyncio.create_task(s.platform.restart("w1", incarnation))
    await asyncio.sleep(0)
    await s.platform.stop()
    with pytest.raises(Conflict, match="on purpose"):
        await restart
    assert not (await s.target()).running
