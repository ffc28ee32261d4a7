"""Units as systemctl shows them, and restarts that systemd carries out. No systemd runs in tests: fake_systemctl.py."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from gradewatch.errors import Conflict, PlatformError
from gradewatch.model import ExitKind, Sight, Target
from gradewatch.platforms.systemd import SystemdPlatform
from gradewatch.platforms.units import PROPERTIES, parse, sighting

UNIT = "grader.service"
FAKE = Path(__file__).with_name("fake_systemctl.py")


def micros(seconds_ago: float) -> str:
    return str(round((time.monotonic() - seconds_ago) * 1e6))


RUNS = {"ActiveState": "active", "SubState": "running", "MainPID": "4711", "InvocationID": "life-1"}


class Manager:
    """What the stand-in's systemd knows."""

    def __init__(self, folder: Path) -> None:
        program = folder / "systemctl"
        program.write_text(f"#!{sys.executable} -S\n" + FAKE.read_text().partition("\n")[2])
        program.chmod(0o755)
        self._file = folder / "systemctl.json"
        self.environ = {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "GROQ_API_KEY": "gsk_secret"}
        self.put(units={})

    def read(self) -> dict[str, Any]:
        return json.loads(self._file.read_text())

    def put(self, **state: Any) -> None:
        old = self.read() if self._file.exists() else {}
        self._file.write_text(json.dumps(old | state))

    def unit(self, name: str = UNIT, **properties: str) -> None:
        started = {"ExecMainStartTimestampMonotonic": micros(100)}
        self.put(units=self.read()["units"] | {name: {**RUNS, **started, **properties}})

    def platform(self, *names: str, **options: Any) -> SystemdPlatform:
        return SystemdPlatform(names or [UNIT], queues=("default",), environ=self.environ, **options)


@pytest.fixture
def manager(tmp_path: Path) -> Manager:
    return Manager(tmp_path)


async def shown(platform: SystemdPlatform) -> Target:
    [target] = await platform.targets()
    return target


# ---------------------------------------------------------------- what is seen


async def test_a_running_unit_carries_systemds_own_word_for_its_life(manager: Manager) -> None:
    manager.unit()
    target = await shown(manager.platform("grader"))
    assert (target.name, target.queues, target.pid) == (UNIT, ("default",), 4711)
    assert (target.running, target.wanted, target.incarnation, target.sight) == (True, True, "life-1", Sight.LIFE)
    assert target.running_seconds == pytest.approx(100, abs=5)
    assert target.exits == ()


async def test_units_are_told_apart_in_one_call(manager: Manager) -> None:
    manager.unit("a.service", InvocationID="of-a")
    manager.unit("b.service", InvocationID="of-b", ActiveState="failed", SubState="failed", Result="signal",
                 ExecMainCode="2", ExecMainStatus="11")  # fmt: skip
    a, b = await manager.platform("a.service", "b.service").targets()
    assert (a.name, a.incarnation, a.running) == ("a.service", "of-a", True)
    assert (b.name, b.incarnation, b.running, b.ended_incarnations) == ("b.service", "of-b", False, ("of-b",))
    assert len(manager.read()["calls"]) == 1


FAILED = {"ActiveState": "failed", "SubState": "failed"}


@pytest.mark.parametrize(
    ("properties", "kind", "words"),
    [
        ({"Result": "exit-code", "ExecMainCode": "1", "ExecMainStatus": "3"}, ExitKind.EXITED, "exited with code 3"),
        ({"Result": "signal", "ExecMainCode": "2", "ExecMainStatus": "9"}, ExitKind.SIGNALLED, "killed by SIGKILL"),
        ({"Result": "core-dump", "ExecMainCode": "3", "ExecMainStatus": "11"}, ExitKind.SIGNALLED, "killed by SIGSEGV"),
        ({"Result": "signal", "ExecMainCode": "2", "ExecMainStatus": "40"}, ExitKind.SIGNALLED, "killed by signal 40"),
        ({"Result": "oom-kill", "ExecMainCode": "2", "ExecMainStatus": "9"}, ExitKind.OOM_KILLED, "out of memory"),
        ({"Result": "start-limit-hit", "ExecMainCode": "1", "ExecMainStatus": "1"}, ExitKind.CRASH_LOOP, "given up"),
        ({"Result": "watchdog", "ExecMainCode": "3", "ExecMainStatus": "6"}, ExitKind.GONE, "event loop stood still"),
        ({"Result": "timeout", "ExecMainCode": "2", "ExecMainStatus": "15"}, ExitKind.GONE, "TimeoutStartSec"),
        ({"Result": "resources"}, ExitKind.GONE, "lack of a resource"),
        ({"Result": "something-new"}, ExitKind.GONE, "something-new"),
    ],
)  # fmt: skip
async def test_how_a_unit_failed_is_told(
    manager: Manager, properties: dict[str, str], kind: ExitKind, words: str
) -> None:
    times = {"ExecMainStartTimestampMonotonic": micros(90), "ExecMainExitTimestampMonotonic": micros(30)}
    manager.unit(**FAILED, **times, **properties)
    target = await shown(manager.platform())
    assert (target.running, target.wanted, target.ended_incarnations) == (False, True, ("life-1",))
    assert target.last_exit.kind is kind
    assert words in str(target.last_exit)
    [end] = target.exits
    assert end.seconds_ago == pytest.approx(30, abs=5)
    assert end.lifetime == pytest.approx(60, abs=1)


@pytest.mark.parametrize(
    "properties",
    [
        {"ActiveState": "inactive", "SubState": "dead"},
        {"ActiveState": "inactive", "SubState": "dead", "ExecMainStartTimestampMonotonic": "0", "InvocationID": ""},
        {"ActiveState": "deactivating", "SubState": "stop-sigterm"},
        {**FAILED, "LoadState": "masked"},
    ],
    ids=["stopped", "never started", "stopping", "masked"],
)
async def test_what_nobody_wants_to_run_is_left_alone(manager: Manager, properties: dict[str, str]) -> None:
    manager.unit(**properties)
    target = await shown(manager.platform())
    assert not target.wanted
    with pytest.raises(Conflict, match="stopped on purpose"):
        await manager.platform().restart(UNIT, target.incarnation)


async def test_what_systemd_starts_again_by_itself_is_left_to_it_and_its_last_life_is_proved_dead(
    manager: Manager,
) -> None:
    manager.unit(ActiveState="activating", SubState="auto-restart", MainPID="0", Result="exit-code", ExecMainCode="1",
                 ExecMainStatus="1", ExecMainExitTimestampMonotonic=micros(2))  # fmt: skip
    target = await shown(manager.platform())
    assert (target.running, target.running_seconds, target.pid) == (True, 0.0, None)
    assert target.ended_incarnations == ("life-1",)


async def test_a_life_that_ended_between_two_looks_is_proved_dead_by_the_next(manager: Manager) -> None:
    platform = manager.platform()
    manager.unit()
    await platform.targets()
    manager.unit(InvocationID="life-2", NRestarts="1")
    target = await shown(platform)
    assert (target.incarnation, target.ended_incarnations, len(target.exits)) == ("life-2", ("life-1",), 1)
    manager.unit(InvocationID="life-5", NRestarts="4")
    assert len((await shown(platform)).exits) == 4, "systemd counted two more than we saw"
    assert len((await shown(platform)).exits) == 4


async def test_the_same_end_is_counted_once(manager: Manager) -> None:
    platform = manager.platform()
    manager.unit(**FAILED, Result="exit-code", ExecMainCode="1", ExecMainStatus="1")
    assert len((await shown(platform)).exits) == len((await shown(platform)).exits) == 1


# ---------------------------------------------------------------- restart


@pytest.mark.parametrize("properties", [{}, {**FAILED, "Result": "signal", "ExecMainCode": "2", "ExecMainStatus": "9"}])
async def test_a_restart_shows_the_new_life(manager: Manager, properties: dict[str, str]) -> None:
    manager.unit(**properties)
    new = await manager.platform().restart(UNIT, "life-1")
    assert new == (await shown(manager.platform())).incarnation != "life-1"
    assert [c for c in manager.read()["calls"] if c[0] == "restart"] == [["restart", "--no-block", UNIT]]


async def test_a_slow_stop_is_waited_for(manager: Manager) -> None:
    manager.unit()
    manager.put(shows_until_up=3)
    assert len(await manager.platform().restart(UNIT, "life-1")) == 32


async def test_a_stop_that_outlasts_us_goes_on_by_itself(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradewatch.platforms.systemd.APPEAR", 0.3)
    manager.unit()
    manager.put(shows_until_up=1000)
    assert "queued; it is still deactivating (stop-sigterm)" in await manager.platform().restart(UNIT, "life-1")


async def test_a_unit_that_hit_its_start_limit_is_reset_before_it_is_started(manager: Manager) -> None:
    manager.unit(**FAILED, Result="start-limit-hit", ExecMainCode="1", ExecMainStatus="1")
    assert await manager.platform().restart(UNIT, "life-1") != "life-1"
    assert [c[0] for c in manager.read()["calls"]][:3] == ["show", "reset-failed", "restart"]


async def test_another_life_is_a_conflict_and_untouched(manager: Manager) -> None:
    manager.unit()
    with pytest.raises(Conflict, match="restarted meanwhile"):
        await manager.platform().restart(UNIT, "life-0")
    assert [c[0] for c in manager.read()["calls"]] == ["show"]


async def test_units_of_the_user(manager: Manager) -> None:
    manager.unit()
    await manager.platform(user=True).targets()
    assert manager.read()["calls"][0][-1] == "--user"


# ---------------------------------------------------------------- faults


async def test_a_unit_that_does_not_exist_is_named(manager: Manager) -> None:
    manager.unit()
    with pytest.raises(PlatformError, match=r'no usable unit "typo.service" \(not-found\).*daemon-reload'):
        await manager.platform(UNIT, "typo").targets()


@pytest.mark.parametrize(
    ("verb", "said", "hint"),
    [
        ("restart", f"Failed to restart {UNIT}: Interactive authentication required.", "polkit rule"),
        ("restart", f"Failed to restart {UNIT}: Access denied", "polkit rule"),
        (
            "show",
            "System has not been booted with systemd as init system (PID 1). Can't operate.",
            "platform.user = true",
        ),
        ("show", "Failed to connect to bus: No medium found", "platform.user = true"),
        ("show", "Some other trouble", "Some other trouble"),
    ],
)
async def test_a_refusal_says_what_to_do(manager: Manager, verb: str, said: str, hint: str) -> None:
    manager.unit()
    manager.put(refuse={verb: said})
    with pytest.raises(PlatformError, match=rf"systemctl {verb} failed \(1\): {said.split(':')[0][:20]}") as refused:
        await manager.platform().restart(UNIT, "life-1")
    assert hint in str(refused.value)


async def test_a_systemctl_that_hangs_is_ended(manager: Manager) -> None:
    manager.unit()
    manager.put(slow=60)
    began = time.monotonic()
    with pytest.raises(PlatformError, match=r"did not end within 0.5 s and was killed"):
        await manager.platform(timeout=0.5).targets()
    assert time.monotonic() - began < 5


async def test_without_systemctl_it_says_so(tmp_path: Path) -> None:
    platform = SystemdPlatform([UNIT], queues=(), environ={"PATH": str(tmp_path)})
    with pytest.raises(PlatformError, match="systemctl cannot be started: No such file or directory"):
        await platform.targets()


async def test_systemctl_is_given_none_of_our_secrets(manager: Manager) -> None:
    manager.unit()
    await manager.platform().targets()
    given = manager.read()["environment"]
    assert "GROQ_API_KEY" not in given
    assert {"PATH", "LC_ALL"} <= set(given)


@pytest.mark.parametrize("text", ["", "Id=grader.service\n", "nonsense", "\n\n\n", "Id=a\nLoadState=loaded\n\nId=b\n"])
async def test_an_answer_with_holes_is_no_evidence(
    manager: Manager, text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "systemctl").write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n")
    with pytest.raises(PlatformError, match="systemctl show"):
        await manager.platform().targets()


def test_the_format_is_read_whatever_the_order_and_the_values() -> None:
    text = "Id=a=b.service\nResult=\nSubState=run=ning\n\nId=c.service\n"
    assert parse(text) == [{"Id": "a=b.service", "Result": "", "SubState": "run=ning"}, {"Id": "c.service"}]


@pytest.mark.parametrize("value", ["", "x", "-1", "9" * 40, "[not set]"])
def test_numbers_that_systemd_leaves_unset_are_none(value: str) -> None:
    unit = dict.fromkeys(PROPERTIES, value) | {"ActiveState": "active", "SubState": "running", "LoadState": "loaded"}
    seen = sighting("a", unit, 100.0)
    assert (seen.pid, seen.running_seconds, seen.restarts) == (None, 0.0, 0)
