"""The programs of docs/embed.md, run as they stand there."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from gradewatch.config import load
from gradewatch.stores.sqlite import SqliteStore

PAGE = (Path(__file__).parents[2] / "docs" / "embed.md").read_text()
PROGRAMS = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE, re.DOTALL))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in PROGRAMS.items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GRADEWATCH_")}
    environ["GRADEWATCH_TIMEOUTS__HEARTBEAT"] = "1s"
    started: list[subprocess.Popen[bytes]] = []

    def begin(*command: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, *command], cwd=folder, env=environ, start_new_session=True)
        started.append(process)
        return process

    yield begin
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def until(condition: Callable[[], Any], what: str, seconds: float = 30.0) -> Any:
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"{what} did not come about within {seconds} s"
        time.sleep(0.05)
    return value


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free: int = probe.getsockname()[1]
        return free


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read().decode()
    except (urllib.error.URLError, ConnectionError):
        return 0, ""


def workers(folder: Path) -> dict[str, str]:
    """The end reason of each worker that ever beat, by its name."""

    async def look() -> dict[str, str]:
        store = SqliteStore(folder / "gradewatch.db")
        await store.migrate()
        await store.open()
        try:
            return {session.name: session.end_reason for session in await store.sessions() if session.beats}
        finally:
            await store.close()

    return asyncio.run(look())


def test_every_program_of_the_page_is_run_here() -> None:
    assert set(PROGRAMS) == {"main.py", "wrapped.py", "own.py", "flaskapp.py", "loop.py", "block.py"}
    assert PAGE.count("```python") == len(PROGRAMS)


@pytest.mark.parametrize(
    ("program", "prefix", "worker"),
    [("main", "/gradewatch", "grading-"), ("wrapped", "/ops", "grading-"), ("own", "/gradewatch", "export_marks-")],
)
def test_fastapi(start: Any, port: int, program: str, prefix: str, worker: str) -> None:
    start("-m", "uvicorn", f"{program}:app", "--port", str(port))

    def working() -> dict[str, Any] | None:
        code, body = get(port, f"{prefix}/api/worker_status")
        return json.loads(body) if code == 200 else None

    status = until(working, "a worker works")
    assert [one["name"].startswith(worker) for one in status["workers"]] == [True]
    assert [get(port, prefix + path)[0] for path in ("/livez", "/readyz", "/metrics")] == [200, 200, 200]
    if program == "wrapped":
        assert get(port, "/database") == (200, '"open"')


def test_flask(start: Any, folder: Path, port: int) -> None:
    workers(folder)  # makes the store
    start("-m", "gunicorn", "flaskapp:app", "-b", f"127.0.0.1:{port}", "-w", "2")
    until(lambda: get(port, "/livez")[0] == 200, "it serves")
    code, body = get(port, "/api/worker_status")
    assert (code, "No worker has ever been seen" in json.loads(body)["error"]) == (503, True)
    assert [get(port, path)[0] for path in ("/readyz", "/metrics")] == [200, 200]


def test_one_line_in_a_loop(start: Any, folder: Path) -> None:
    workers(folder)
    start("loop.py")
    until(lambda: workers(folder) == {"exporter": ""}, "it beats")


def test_around_a_block_and_a_function(start: Any, folder: Path) -> None:
    workers(folder)
    assert start("block.py").wait(30) == 0
    assert workers(folder) == {"exporter": "stopped", "importer": "stopped"}


def test_the_settings_of_the_page_are_right(tmp_path: Path) -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert tomllib.loads(text)
    (tmp_path / "gradewatch.toml").write_text(text)
    loaded = load(environ={}, cwd=tmp_path)
    assert (loaded.errors, loaded.warnings, loaded.settings.watch.rescue) == ((), (), True)
