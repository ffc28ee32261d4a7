"""SQLite among several processes: racing migrations and claims, and writers killed with KILL."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from backends import opened
from store_kit import Hands, ids, new

from gradewatch.stores.sqlite import SqliteStore

PRELUDE = """
import asyncio, sqlite3, sys
from gradewatch.model import NewJob, NewSession
from gradewatch.stores.sqlite import SqliteStore
store = SqliteStore(sys.argv[1])
"""
MIGRATE = "print(','.join(asyncio.run(store.migrate())))"
CLAIM = """
async def main():
    await store.open()
    session = await store.open_session(NewSession("w", ("default",), 2, "h", 1, "0"))
    print("ready", flush=True)
    sys.stdin.readline()
    while batch := await store.claim(session, ["default"], ["grade"], 3):
        print(*(job.id for job in batch))
asyncio.run(main())
"""
SUBMIT = """
async def main():
    await store.open()
    while True:
        for job_id in await store.submit([NewJob("grade", {"papers": [{"sha256": "a" * 64}]})]):
            print(job_id, flush=True)
asyncio.run(main())
"""
HALF_WAY = """
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size = 1")
connection.execute("BEGIN IMMEDIATE")
connection.execute("UPDATE jobs SET state = 'failed', finished_at = 1, payload = payload || ?", (" " * 3000,))
print("written", flush=True)
sys.stdin.readline()
"""


def start(script: str, path: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PRELUDE + script, str(path)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def kill(process: subprocess.Popen[str]) -> str:
    """Kill with KILL; returns what it had still said."""
    process.kill()
    said, _ = process.communicate(timeout=10)
    assert process.returncode == -signal.SIGKILL
    return said


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queue.db"


async def assert_sound(path: Path) -> None:
    """The file is whole, and the counters are a real count."""
    with closing(sqlite3.connect(path)) as hand:
        assert hand.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert hand.execute("PRAGMA foreign_key_check").fetchall() == []
        [counted] = hand.execute("SELECT pending, running, enqueued FROM counters").fetchall()
        real = hand.execute("SELECT sum(state = 'pending'), sum(state = 'running'), count(*) FROM jobs").fetchone()
        assert counted == real


def test_racing_migrations_run_once(path: Path) -> None:
    racers = [start(MIGRATE, path) for _ in range(4)]
    said = [racer.communicate(timeout=30)[0].strip() for racer in racers]
    assert [racer.returncode for racer in racers] == [0] * 4
    assert sorted(said) == ["", "", "", "001_initial,002_providers,003_budget,004_row_notes,005_paper_tokens"]


async def test_claimers_in_several_processes_never_get_one_job(path: Path) -> None:
    async with opened(SqliteStore(path)) as store:
        submitted = await store.submit([new() for _ in range(300)])
    claimers = [start(CLAIM, path) for _ in range(3)]
    for claimer in claimers:
        assert claimer.stdout is not None
        assert claimer.stdout.readline() == "ready\n"
    for claimer in claimers:
        assert claimer.stdin is not None
        claimer.stdin.write("go\n")
        claimer.stdin.flush()
    claimed = [job_id for claimer in claimers for job_id in claimer.communicate(timeout=30)[0].split()]
    assert sorted(claimed) == sorted(submitted)


async def test_what_was_acknowledged_survives_a_kill(path: Path) -> None:
    async with opened(SqliteStore(path)) as store:
        for _ in range(3):
            submitter = start(SUBMIT, path)
            assert submitter.stdout is not None
            said = "".join(submitter.stdout.readline() for _ in range(20)) + kill(submitter)
            acknowledged = [line for line in said.splitlines(keepends=True) if line.endswith("\n")]
            found = set(ids(await store.jobs(limit=10_000)))
            assert {line.strip() for line in acknowledged} <= found
        await assert_sound(path)


async def test_a_writer_killed_half_way_leaves_nothing_behind(path: Path) -> None:
    async with opened(SqliteStore(path)) as store:
        submitted = await store.submit([new() for _ in range(200)])
        writer = start(HALF_WAY, path)
        assert writer.stdout is not None
        assert writer.stdout.readline() == "written\n"
        kill(writer)
        assert ids(await (await Hands.open(store)).claim(500)) == submitted
    await assert_sound(path)
