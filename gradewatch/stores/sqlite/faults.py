"""The one place where SQLite's errors become the project's own, each with what happened and what to do."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from gradewatch.errors import AccessDenied, Conflict, SchemaMismatch, StoreError, StoreUnavailable

MIGRATE = 'run "gradewatch migrate"'


def absent(path: Path) -> SchemaMismatch:
    return SchemaMismatch(f"There is no database at {path}: {MIGRATE} to create it, or correct store.url.")


def gone(path: Path) -> StoreUnavailable:
    return StoreUnavailable(
        f"The database file {path} was removed while it was in use: nothing was written. "
        "Put it back; gradewatch goes on by itself then."
    )


def replaced(path: Path) -> StoreUnavailable:
    return StoreUnavailable(
        f"The database file {path} was replaced by another while it was in use: nothing was written. "
        "The next call uses the new file."
    )


def locked(path: Path, seconds: float) -> StoreUnavailable:
    return StoreUnavailable(
        f"{path} stayed locked by another process for {seconds:.1f} s: nothing was written. "
        "If it lasts, find the process that keeps a write transaction open (fuser shows who has the file open)."
    )


def broken_off(path: Path, seconds: float) -> StoreUnavailable:
    return StoreUnavailable(f"{path} took longer than {seconds:.1f} s to answer: the read was broken off. Try again.")


def translate(error: sqlite3.Error, path: Path, seconds: float) -> StoreError:
    """What an SQLite error means for a caller. `seconds` is the deadline the call had."""
    extended = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    if extended == sqlite3.SQLITE_READONLY_DBMOVED:
        return gone(path)
    match extended & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return locked(path, seconds)
        case sqlite3.SQLITE_INTERRUPT:
            return broken_off(path, seconds)
        case sqlite3.SQLITE_CANTOPEN:
            return _cannot_open(path)
        case sqlite3.SQLITE_CONSTRAINT:
            return Conflict(f"{path} refused the write: {error}. The row is untouched.")
        case sqlite3.SQLITE_ERROR if "no such table" in str(error) or "no such column" in str(error):
            return SchemaMismatch(f"{path} lacks what this version needs ({error}): {MIGRATE}.")
        case primary:
            kind, text = _BY_CODE.get(primary, (StoreUnavailable, "SQLite gave up unexpectedly ({error}). Try again."))
            return kind(f"{path}: {text.format(error=error)}")


_DENIED = "this user may not write the file or its folder. Give it write permission on both (SQLite needs the folder)."
_BY_CODE: dict[int, tuple[type[StoreError], str]] = {
    sqlite3.SQLITE_FULL: (StoreUnavailable, "the disk is full, nothing was written. Free some space."),
    sqlite3.SQLITE_IOERR: (
        StoreUnavailable,
        "reading or writing the disk failed ({error}), nothing was written. Check the disk, its quota and its mount.",
    ),
    sqlite3.SQLITE_READONLY: (AccessDenied, _DENIED),
    sqlite3.SQLITE_PERM: (AccessDenied, _DENIED),
    sqlite3.SQLITE_AUTH: (AccessDenied, _DENIED),
    sqlite3.SQLITE_NOTADB: (SchemaMismatch, "this file is not an SQLite database. Correct store.url."),
    sqlite3.SQLITE_CORRUPT: (StoreUnavailable, "the database is damaged ({error}). Restore it from a backup."),
}


def _cannot_open(path: Path) -> StoreError:
    """SQLite only says "unable to open"; the system knows why."""
    if path.is_dir():
        return StoreUnavailable(f"{path} is a folder, not a database file. Correct store.url.")
    try:
        os.close(os.open(path, os.O_RDWR))
    except PermissionError:
        return AccessDenied(f"{path}: {_DENIED}")
    except OSError as reason:
        return StoreUnavailable(f"{path} cannot be opened: {reason.strerror}.")
    if not os.access(path.parent, os.W_OK):
        return AccessDenied(f"{path}: {_DENIED}")
    return StoreUnavailable(f"{path} or the files beside it (-wal, -shm) cannot be opened. Check {path.parent}.")
