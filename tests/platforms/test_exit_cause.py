"""Why a process ended: codes, signals, and the kernel's OOM killer."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from children import WAITS

from gradewatch.model import ExitCause, ExitKind
from gradewatch.platforms.cause import OomMark, cause_of, oom_counter, read_oom_kills

LIMIT = 32 * 1024 * 1024


@pytest.mark.parametrize(
    ("returncode", "oom", "cause"),
    [
        (0, "", ExitCause(ExitKind.EXITED, 0)),
        (137, "risen", ExitCause(ExitKind.EXITED, 137)),
        (-11, "", ExitCause(ExitKind.SIGNALLED, 11, "SIGSEGV")),
        (-15, "risen", ExitCause(ExitKind.SIGNALLED, 15, "SIGTERM")),
        (-9, "", ExitCause(ExitKind.SIGNALLED, 9, "SIGKILL")),
        (-9, "risen", ExitCause(ExitKind.OOM_KILLED, 9, "risen")),
        (-40, "", ExitCause(ExitKind.SIGNALLED, 40, "signal 40")),
    ],
)
def test_cause_of_a_return_code(returncode, oom, cause):
    assert cause_of(returncode, oom) == cause


@pytest.mark.parametrize(
    ("text", "kills"),
    [
        ("low 0\nhigh 2\nmax 7\noom 3\noom_kill 2\noom_group_kill 0\n", 2),
        ("oom_kill_disable 0\nunder_oom 0\noom_kill 5\n", 5),
        ("low 0\n", None),
        ("oom_kill many\n", None),
        ("", None),
    ],
)
def test_oom_counter_file(tmp_path, text, kills):
    path = tmp_path / "memory.events"
    path.write_text(text)
    assert read_oom_kills(path) == kills


def test_without_a_readable_counter_nothing_is_said(tmp_path):
    assert OomMark.now(None) is None
    assert OomMark.now(tmp_path / "memory.events") is None
    path = tmp_path / "vanishes"
    path.write_text("oom_kill 0\n")
    mark = OomMark.now(path)
    path.unlink()
    assert mark is not None
    assert mark.rise() == ""


def test_counter_is_found_by_cgroup_version(tmp_path):
    proc, root = tmp_path / "proc", tmp_path / "cgroup"
    for pid, text in (
        ("1", "0::/app/w\n"),
        ("2", "9:cpu:/\n4:memory,pids:/app\n0::/app/w\n"),
        ("3", "0::/elsewhere\n"),
    ):
        (proc / pid).mkdir(parents=True)
        (proc / pid / "cgroup").write_text(text)
    (root / "app/w").mkdir(parents=True)
    (root / "app/w/memory.events").write_text("oom_kill 0\n")
    assert oom_counter(1, proc=proc, root=root) == root / "app/w/memory.events"
    assert oom_counter(2, proc=proc, root=root) == root / "memory/app/memory.oom_control"
    assert oom_counter(3, proc=proc, root=root) is None
    assert oom_counter(4, proc=proc, root=root) is None


# ---------------------------------------------------------------- with children


@pytest.fixture
def small_memory(tmp_path) -> Iterator[tuple[Path, list[str]]]:
    """An OOM counter, and a command that the OOM killer ends: the kernel's own in a real cgroup where one may be
    made here, else a file and a SIGKILL that look the same."""
    for base, limit, counter in (
        (Path("/sys/fs/cgroup"), "memory.max", "memory.events"),
        (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.oom_control"),
    ):
        group = base / f"gradewatch-test-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            if (group / limit).exists() and read_oom_kills(group / counter) is not None:
                (group / limit).write_text(str(LIMIT))
                eats = f"echo $$ > {group}/cgroup.procs && exec {sys.executable} -S -E -c 'b\"x\" * {8 * LIMIT}'"
                yield group / counter, ["/bin/sh", "-c", eats]
                return
        finally:
            group.rmdir()
    counted = tmp_path / "memory.events"
    counted.write_text("oom 0\noom_kill 0\n")
    yield counted, ["/bin/sh", "-c", f"printf 'oom 1\\noom_kill 1\\n' > {counted}; kill -9 $$"]


async def test_oom_kill_is_told_from_kill(supervise, small_memory):
    path, eats = small_memory
    s = supervise(lambda name: eats if name == "eats" else WAITS, names=("waits", "eats"), counter=lambda pid: path)
    await s.start()
    await s.ended()
    cause = (await s.target("eats")).last_exit
    assert (cause.kind, cause.status) == (ExitKind.OOM_KILLED, 9)
    assert str(cause) == f"out of memory: SIGKILL while oom_kill in {path} rose from 0 to 1"
    # The other child shares the cgroup: a kill -9 now is not the OOM killer's doing.
    os.kill((await s.target("waits")).pid, signal.SIGKILL)
    await s.ended(2)
    assert (await s.target("waits")).last_exit == ExitCause(ExitKind.SIGNALLED, 9, "SIGKILL")


async def test_our_own_kill_is_never_taken_for_the_oom_killer(supervise, tmp_path):
    counter = tmp_path / "memory.events"
    counter.write_text("oom_kill 0\n")
    ignores = ["/bin/sh", "-c", "trap '' TERM; echo ready; while :; do sleep 600; done"]
    s = supervise(ignores, counter=lambda pid: counter, stop_timeout=0.1)
    await s.start()
    await s.ready()
    counter.write_text("oom_kill 1\n")
    [stopped] = await s.platform.stop()
    assert stopped.cause == ExitCause(ExitKind.SIGNALLED, 9, "SIGKILL")
