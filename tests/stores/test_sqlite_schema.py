"""SQLite: the schema and the plans of its queries, which must not grow with the rows."""

from __future__ import annotations

import inspect
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from store_kit import KINDS

from gradewatch.model import ActionKind, JobState
from gradewatch.ports import Store
from gradewatch.stores.sqlite import SqliteStore, audit, claim, control, purge, reads, schema, sessions, stats, undo
from gradewatch.stores.sqlite.connect import connect

QUESTIONS: dict[str, Callable[[sqlite3.Connection], Any]] = {
    "stats": lambda c: stats.stats(c, "default"),
    "claim": lambda c: c.execute(claim._ELIGIBLE, {"queue": "default", "kinds": "[]", "limit": 9}).fetchall(),
    "run-alone": lambda c: claim._alone(c, "s", []),
    "overdue pending": lambda c: reads.overdue(c, "default", JobState.PENDING, 9, KINDS, 9),
    "overdue running": lambda c: reads.overdue(c, "default", JobState.RUNNING, 9, None, 9),
    "held": lambda c: reads.held(c, "default", ["s"], KINDS, 9),
    "job": lambda c: reads.job(c, "j"),
    "papers": lambda c: reads.papers(c, "j"),
    "newest": lambda c: reads.jobs(c, None, None, 9, "j"),
    "newest failed": lambda c: reads.jobs(c, "default", JobState.FAILED, 9, None),
    "beat": lambda c: sessions.beat(c, "s", 0, 0),
    "budgets, restarts": lambda c: control.control(c, {ActionKind.EXPIRE: 60}),
    "audit of a sweep": lambda c: audit.entries(c, 9, "sweep", None, None),
    "audit of a job": lambda c: audit.entries(c, 9, None, "j", None),
    "undo": lambda c: undo.undo(c, "sweep", "ann", 9, 9),
    "purge jobs": lambda c: purge.delete_old(c, "jobs", 9, 9),
    "purge sessions": lambda c: purge.delete_old(c, "sessions", 9, 9),
}


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    schema.migrate(tmp_path / "queue.db", 5)
    with closing(
        connect(tmp_path / "queue.db", now=lambda: time.time_ns() // 1000, writes=True, timeout=5)
    ) as connection:
        yield connection


@pytest.mark.parametrize("question", list(QUESTIONS))
def test_no_question_reads_all_jobs_or_the_whole_trail(connection: sqlite3.Connection, question: str) -> None:
    asked: list[str] = []
    connection.set_trace_callback(asked.append)
    QUESTIONS[question](connection)
    connection.set_trace_callback(None)
    plans = [
        row["detail"]
        for sql in asked
        if not sql.startswith(("BEGIN", "--"))
        for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}")
    ]
    assert plans
    for table in ("jobs", "audit", "sessions", "papers"):
        assert not [plan for plan in plans if plan.startswith(f"SCAN {table}")], plans
    if question != "budgets, restarts":  # where a few credits are sorted
        assert not [plan for plan in plans if "TEMP B-TREE FOR ORDER BY" in plan], "an index must give the order"


def test_the_printed_migration_is_the_one_that_is_run(connection: sqlite3.Connection, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "by-hand.db")) as by_hand:
        by_hand.executescript(SqliteStore(tmp_path / "unused.db").migration_text())
        query = "SELECT type, name, sql FROM sqlite_master ORDER BY name"
        assert by_hand.execute(query).fetchall() == [tuple(row) for row in connection.execute(query)]


@pytest.mark.parametrize("known", range(1, len(schema.scripts())))
def test_an_older_file_is_brought_up_to_date_with_what_is_in_it(tmp_path: Path, known: int) -> None:
    path = tmp_path / "queue.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as older:
        for _, sql in schema.scripts()[:known]:
            older.executescript(sql)
        older.execute("INSERT INTO meta VALUES ('schema_version', ?)", (str(known),))
        entry = "INSERT INTO audit (sweep, at, by, action, queue, subject, outcome, reason, message) VALUES "
        for queue, reason in (
            ("b", "job_timed_out"),
            ("a", "job_timed_out"),
            ("b", "job_timed_out"),
            ("b", "operator"),
        ):
            older.execute(f"{entry} ('s', 1, 'me', 'expire', '{queue}', 'j', 'applied', '{reason}', '')")
    assert schema.migrate(path, 5) == [name for name, _ in schema.scripts()[known:]]
    with closing(connect(path, now=lambda: 2, writes=True, timeout=5)) as now:
        assert schema.verify(now, path) == ()
        spent = control.control(now, {ActionKind.EXPIRE: 60, ActionKind.REQUEUE: 60}).spent
    assert spent == {(ActionKind.EXPIRE, "a"): 1, (ActionKind.EXPIRE, "b"): 2}


def test_the_store_has_every_method_of_the_port() -> None:
    for name, method in inspect.getmembers(Store, inspect.isfunction):
        if name.startswith("_"):
            continue
        ours = inspect.signature(getattr(SqliteStore, name)).parameters.values()
        theirs = inspect.signature(method).parameters.values()
        assert [(p.name, p.kind, p.default) for p in ours] == [(p.name, p.kind, p.default) for p in theirs], name
