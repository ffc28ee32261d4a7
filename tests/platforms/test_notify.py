"""What a worker tells systemd, over a real datagram socket."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from children import until

from gradewatch.platforms.notify import Notifier, notifying


class Systemd:
    """The listening end of NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.heard: list[dict[str, str]] = []

    def listen(self) -> list[dict[str, str]]:
        while True:
            try:
                text = self._socket.recv(65536).decode()
            except BlockingIOError:
                return self.heard
            self.heard.append(dict(line.split("=", 1) for line in text.split("\n")))

    def of(self, key: str) -> list[str]:
        return [message[key] for message in self.listen() if key in message]

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    there = Systemd(
        str(tmp_path / "notify") if request.param == "path" else f"@gradewatch-{os.getpid()}-{tmp_path.name}"
    )
    yield there
    there.close()


async def test_ready_signs_of_life_status_and_stopping(systemd: Systemd) -> None:
    status = "idle"
    notifier = Notifier.take({"NOTIFY_SOCKET": systemd.address, "WATCHDOG_USEC": "90000"})
    async with notifying(notifier, lambda: status):
        await until(lambda: bool(systemd.listen()))
        assert systemd.heard[0] == {"READY": "1", "STATUS": "idle"}
        await until(lambda: systemd.of("WATCHDOG").count("1") >= 3)
        status = "2 of 2 slots busy\nWATCHDOG=trigger"
        await until(lambda: "2 of 2 slots busy WATCHDOG=trigger" in systemd.of("STATUS"))
        assert systemd.of("STOPPING") == []
    await until(lambda: systemd.of("STOPPING") == ["1"])
    told = len(systemd.listen())
    assert "STOPPING" in systemd.heard[-1]
    await asyncio.sleep(0)
    assert len(systemd.listen()) == told
    assert systemd.of("STATUS").count("2 of 2 slots busy WATCHDOG=trigger") == 1, "a status is told when it changes"


async def test_a_loop_that_stands_still_is_silent(systemd: Systemd) -> None:
    notifier = Notifier.take({"NOTIFY_SOCKET": systemd.address, "WATCHDOG_USEC": "90000"})
    async with notifying(notifier, lambda: "idle"):
        await until(lambda: len(systemd.of("WATCHDOG")) >= 1)
        before = len(systemd.of("WATCHDOG"))
        time.sleep(0.3)  # the fault itself: the event loop does not turn
        assert len(systemd.of("WATCHDOG")) <= before + 1
        await until(lambda: len(systemd.of("WATCHDOG")) >= before + 2)


async def test_without_a_watchdog_no_sign_of_life_is_sent(systemd: Systemd) -> None:
    for environ in (
        {},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "90000", "WATCHDOG_PID": "1"},
        {"WATCHDOG_USEC": "x"},
    ):
        notifier = Notifier.take({"NOTIFY_SOCKET": systemd.address, **environ})
        assert notifier is not None
        assert notifier.watchdog is None
    async with notifying(notifier, lambda: "idle"):
        await until(lambda: len(systemd.listen()) >= 2)  # ready, and the first of what follows
    assert systemd.of("WATCHDOG") == []


@pytest.mark.parametrize("address", ["", "relative/path", "vsock:2:1234"])
async def test_where_nobody_asks_nothing_is_told(address: str) -> None:
    assert Notifier.take({"NOTIFY_SOCKET": address}) is None
    async with notifying(None, lambda: "idle"):
        pass


def test_what_systemd_asked_of_this_process_is_not_handed_on_to_its_children() -> None:
    environ = {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": str(os.getpid()), "PATH": "/bin"}
    notifier = Notifier.take(environ)
    assert notifier is not None
    assert notifier.watchdog == 1.0
    assert environ == {"PATH": "/bin"}


async def test_a_systemd_that_does_not_listen_holds_nobody_up_and_is_told_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    notifier = Notifier(str(tmp_path / "nobody"), 0.03)
    async with notifying(notifier, lambda: "idle"):
        for _ in range(5):
            await asyncio.sleep(0.01)
    said = capsys.readouterr()
    assert (said.out + said.err + caplog.text).count("systemd cannot be told") == 1


async def test_a_full_socket_holds_nobody_up(systemd: Systemd) -> None:
    notifier = Notifier(systemd.address, None)
    began = time.monotonic()
    for _ in range(5000):
        notifier.tell(STATUS="x" * 200)
    assert time.monotonic() - began < 5
    notifier.close()
