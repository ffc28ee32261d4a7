"""Prometheus and Alertmanager as child processes on free ports, with their data in a folder of yours."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from gradewatch.errors import GradewatchError

PROGRAMS: Mapping[str, Sequence[str]] = {
    "prometheus": ("prometheus",),
    "alertmanager": ("prometheus-alertmanager", "alertmanager"),  # Debian's name comes first
}
INSTALL = "apt-get install prometheus prometheus-alertmanager"
READY_WITHIN, STOP_WITHIN = 30.0, 10.0  # seconds


def missing_programs() -> list[str]:
    """Those of the two that are not installed."""
    return [name for name in PROGRAMS if not _found(name)]


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


class Stack:
    """Both servers, between `with` and its end. Write their configuration into `folder` first: prometheus.yml,
    alertmanager.yml and what they name. Raises GradewatchError when one does not come up, with its last words."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._prometheus, self._alertmanager = free_port(), free_port()
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def prometheus(self) -> str:
        return f"http://127.0.0.1:{self._prometheus}"

    @property
    def alertmanager(self) -> str:
        return f"http://{self.alertmanager_address}"

    @property
    def alertmanager_address(self) -> str:
        return f"127.0.0.1:{self._alertmanager}"

    def __enter__(self) -> Self:
        try:
            self._start("alertmanager", self._alertmanager, "--cluster.listen-address=", "--storage.path=")
            # What fires before Prometheus has found Alertmanager is lost until sent again: by default in a minute.
            self._start("prometheus", self._prometheus, "--rules.alert.resend-delay=5s", "--storage.tsdb.path=")
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _start(self, name: str, port: int, *options: str) -> None:
        program = _found(name)
        if program is None:
            raise GradewatchError(f"{name} is not installed. To bring it: {INSTALL}")
        *others, storage = options
        log = self.folder / f"{name}.log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [
                    program,
                    f"--config.file={self.folder / name}.yml",
                    f"--web.listen-address=127.0.0.1:{port}",
                    f"{storage}{self.folder / name}.data",
                    *others,
                ],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                cwd=self.folder,
                start_new_session=True,  # a Ctrl-C is for the one who started us, and we stop them in our own order
            )
        self._processes.append(process)
        _ready(name, f"http://127.0.0.1:{port}/-/ready", process, log)

    def _stop(self) -> None:
        for process in reversed(self._processes):
            process.terminate()
        for process in self._processes:
            try:
                process.wait(STOP_WITHIN)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _ready(name: str, url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN
    while not _answers(url):
        if process.poll() is not None or time.monotonic() > deadline:
            last = log.read_text(errors="replace").strip().splitlines()[-3:]
            raise GradewatchError(f"{name} does not come up: {' / '.join(last)}")
        time.sleep(0.05)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5.0) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _found(name: str) -> str | None:
    return next((path for path in map(shutil.which, PROGRAMS[name]) if path), None)
