"""`gradewatch.heartbeat`: one line for a worker of any kind, to the store and to a watch."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from embed_kit import SETTINGS, Place, free_port, until
from structlog.testing import capture_logs

import gradewatch
from gradewatch.config import load
from gradewatch.errors import ConfigError
from gradewatch.model import Session

NAME = "their-worker"


@pytest.fixture(autouse=True)
def environment(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in SETTINGS.items():
        monkeypatch.setenv(f"GRADEWATCH_{name}", value)
    monkeypatch.setenv("GRADEWATCH_STORE__URL", f"sqlite:///{place.database}")
    monkeypatch.delenv("GRADEWATCH_WATCH_URL", raising=False)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    yield
    assert not [thread for thread in threading.enumerate() if thread.name == "gradewatch-beats"], "no thread is left"


async def ended(place: Place) -> list[Session]:
    return [session for session in await place.sessions() if session.ended_at is not None]


async def test_it_beats_while_the_block_lasts(place: Place) -> None:
    async with gradewatch.heartbeat(NAME, queue="default") as beat:
        beat.busy = 3
        [session] = await place.beating()
        assert (session.name, session.queues, session.pid) == (NAME, ("default",), os.getpid())

        async def told() -> bool:
            return [s.busy for s in await place.sessions()] == [3]

        await until(told, "its jobs in hand are told")
        assert beat.session == session.id
    [session] = await ended(place)
    assert session.end_reason == "stopped"


async def test_a_crash_passes_through_and_is_put_on_record(place: Place) -> None:
    async def divides() -> None:
        async with gradewatch.heartbeat(NAME):
            await place.beating()
            print(1 / 0)

    with pytest.raises(ZeroDivisionError):
        await divides()
    [session] = await ended(place)
    assert session.end_reason.startswith("crashed: ZeroDivisionError at test_heartbeat_line.py:")


async def test_a_blocked_loop_goes_on_beating_and_says_so(place: Place) -> None:
    async with gradewatch.heartbeat(NAME):
        await place.beating()
        deadline = time.monotonic() + 20
        while True:  # this blocks the event loop on purpose; only the thread beats
            with closing(sqlite3.connect(place.database)) as look:
                [(beats, loop_age)] = look.execute("SELECT beats, loop_age FROM sessions").fetchall()
            if loop_age > 1.0:
                break
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert beats >= 3


async def test_as_a_decorator_it_beats_only_while_the_function_runs(place: Place) -> None:
    @gradewatch.heartbeat(NAME)
    async def worker(word: str) -> str:
        """Works."""
        await place.beating()
        return word

    await asyncio.sleep(0.2)  # four times the grace in which a plain call may turn out to be a decorator
    assert (await place.sessions(), worker.__doc__) == ([], "Works.")
    assert await worker("done") == "done"
    assert [s.end_reason for s in await ended(place)] == ["stopped"]

    @gradewatch.heartbeat(NAME)
    def sync() -> int:
        return asyncio.run_coroutine_threadsafe(place.beating(), loop).result(20)[0].pid

    loop = asyncio.get_running_loop()
    assert await asyncio.to_thread(sync) == os.getpid()
    assert len(await ended(place)) == 2


SYNC = """
    import time, gradewatch
    gradewatch.heartbeat("sync-worker", queue="default")  # the first call reads the settings
    spent = time.thread_time()
    while True:
        beat = gradewatch.heartbeat("sync-worker", queue="default")
        beat.busy = 1
        time.sleep(0.01)
        assert time.thread_time() - spent < 5, "it costs next to nothing"
"""


async def test_a_plain_call_in_a_sync_loop(place: Place) -> None:
    worker = subprocess.Popen([sys.executable, "-c", textwrap.dedent(SYNC)], env=place.environ, cwd=place.folder)
    try:
        [session] = await place.beating()
        assert (session.name, session.pid) == ("sync-worker", worker.pid)
        before = session.beats

        async def more() -> bool:
            return (await place.sessions())[0].beats > before + 2

        await until(more, "it goes on")
        assert len(await place.sessions()) == 1, "one session, however often it is called"
        worker.send_signal(signal.SIGINT)
        await asyncio.to_thread(worker.wait, 20)
        [session] = await ended(place)
        assert session.end_reason == "its process ended"
    finally:
        worker.kill()
        worker.wait(10)


async def test_each_forked_child_is_a_worker_of_its_own(place: Place) -> None:
    code = """
        import os, time, gradewatch
        gradewatch.heartbeat("forked"); time.sleep(0.5)
        os.fork()
        while True:
            gradewatch.heartbeat("forked"); time.sleep(0.02)
    """
    worker = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], env=place.environ, cwd=place.folder, start_new_session=True
    )
    try:
        sessions = await place.beating(2)
        assert len({session.pid for session in sessions}) == 2
    finally:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait(10)


async def test_an_outage_is_told_once_and_nothing_is_raised(place: Place) -> None:
    with capture_logs() as logs:
        async with gradewatch.heartbeat(NAME):
            [session] = await place.beating()
            away = place.database.rename(place.folder / "away.db")
            await until(lambda: [line for line in logs if line["event"] == "beats do not get through"], "it is told")
            began = time.monotonic()
            await asyncio.sleep(0.5)  # several tries fail meanwhile
            assert time.monotonic() - began < 1.5, "the worker's loop goes on"
            away.rename(place.database)
            await until(lambda: [x for x in logs if x["event"] == "beats get through again"], "it is back")

            async def beaten() -> bool:
                return [s.beats for s in await place.sessions()] > [session.beats]

            await until(beaten, "it beats on")
    assert [line["event"] for line in logs].count("beats do not get through") == 1
    assert len(await place.sessions()) == 1


async def test_it_begins_before_the_store_is_there(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    later = place.folder / "later.db"
    monkeypatch.setenv("GRADEWATCH_STORE__URL", f"sqlite:///{later}")
    began = time.monotonic()
    async with gradewatch.heartbeat("early", config=_empty(place.folder)):
        pass
    assert time.monotonic() - began < 3
    assert not later.exists()


def _empty(folder: Path) -> Path:
    (folder / "empty.toml").touch()
    return folder / "empty.toml"


async def test_a_session_ended_by_the_watch_is_opened_anew(place: Place) -> None:
    async with gradewatch.heartbeat(NAME):
        [first] = await place.beating()
        assert await place.store.end_session(first.id, "silent")
        [second] = await place.beating()
        assert second.id != first.id


async def test_wrong_settings_are_told_at_the_first_call(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADEWATCH_TIMEOUTS__HEARTBEAT", "soon")
    with pytest.raises(ConfigError, match=r"timeouts\.heartbeat"):
        gradewatch.heartbeat("misconfigured")


def test_the_watchs_url_is_no_misspelt_setting(place: Place) -> None:
    loaded = load(environ={"GRADEWATCH_WATCH_URL": "http://watch:9464"}, cwd=place.folder)
    assert (loaded.errors, loaded.warnings) == ((), ())


async def test_to_a_watch_by_http(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the token, the worker needs no store of its own; without it, it is told why and works on."""
    port, token = free_port(), "0123456789abcdef"
    watch = place.start("gradewatch", "watch", port=port, GRADEWATCH_HTTP__PORT=str(port), GRADEWATCH_HTTP__TOKEN=token)
    await watch.serves("/livez")
    monkeypatch.setenv("GRADEWATCH_STORE__URL", "sqlite:////no/such/folder/jobs.db")
    monkeypatch.setenv("GRADEWATCH_WATCH_URL", watch.url)
    with capture_logs() as logs:
        async with gradewatch.heartbeat("unknown", token="wrong"):
            await until(lambda: [line for line in logs if "GRADEWATCH_HTTP__TOKEN" in str(line.get("error"))], "told")
    assert await place.sessions() == []

    monkeypatch.setenv("GRADEWATCH_HTTP__TOKEN", token)

    async def beats_and_crashes() -> None:
        async with gradewatch.heartbeat("remote", queue="default") as beat:
            beat.busy = 1
            [session] = await place.beating()
            assert (session.name, session.version) == ("remote", "external")

            async def busy() -> bool:
                return [s.busy for s in await place.sessions()] == [1]

            await until(busy, "it is busy")
            _, status = await asyncio.to_thread(watch.status)
            assert [worker["name"] for worker in status["workers"]] in ([], ["remote"])
            raise KeyError("x")

    with pytest.raises(KeyError):
        await beats_and_crashes()
    [session] = await ended(place)
    assert session.end_reason.startswith("crashed: KeyError at test_heartbeat_line.py")
