"""The store taken away for a while, in every way a file can be: nobody is blamed for it."""

from __future__ import annotations

import fcntl
import sqlite3
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

import pytest
import scenarios
from chaos_kit import Scene, until

pytestmark = pytest.mark.acceptance


@asynccontextmanager
async def write_locked(scene: Scene) -> AsyncIterator[None]:
    """Somebody's forgotten shell keeps a write transaction open: reading goes on, writing does not."""
    with closing(sqlite3.connect(scene.database, timeout=5, isolation_level=None)) as shell:
        shell.execute("BEGIN IMMEDIATE")
        yield


@asynccontextmanager
async def all_locked(scene: Scene) -> AsyncIterator[None]:
    """Somebody keeps every lock of the write-ahead log, as a recovery does: neither reading nor writing goes on."""
    with scene.database.with_name(scene.database.name + "-shm").open("r+b") as shm:
        for byte in range(120, 128):  # UNIX_SHM_BASE and the seven after it, see os_unix.c
            exclusive = struct.pack("hhqqi", fcntl.F_WRLCK, 0, byte, 1, 0)
            await until(lambda lock=exclusive: _taken(shm.fileno(), lock), "the lock is taken")
        yield


def _taken(fd: int, lock: bytes) -> bool:
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, lock)
    except OSError:
        return False
    return True


@asynccontextmanager
async def file_moved(scene: Scene) -> AsyncIterator[None]:
    """The database file alone is moved away."""
    aside = scene.folder / "aside.db"
    scene.database.rename(aside)
    yield
    aside.rename(scene.database)


@asynccontextmanager
async def folder_moved(scene: Scene) -> AsyncIterator[None]:
    """All of it goes, papers too, as when a volume is unmounted."""
    aside = scene.folder / "aside"
    scene.database.parent.rename(aside)
    yield
    aside.rename(scene.database.parent)


@pytest.mark.parametrize("taken_away", [write_locked, all_locked, file_moved, folder_moved])
async def test_the_store_is_taken_away_for_a_while(scene: Scene, taken_away: scenarios.Outage) -> None:
    await scenarios.store_taken_away(scene, taken_away)
