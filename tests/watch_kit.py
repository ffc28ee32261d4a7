"""The watch over a real SQLite store, with clocks that move only when they are told to, and a platform of words."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gradewatch.board import Board
from gradewatch.config import Budget, QueueSettings, RemediationSettings, Settings, Timeouts, WatchSettings
from gradewatch.cycle import Cycle
from gradewatch.errors import Conflict, PlatformError
from gradewatch.model import ActionKind, ExitCause, Job, NewJob, NewSession, Target
from gradewatch.ports import Store
from gradewatch.probes.observer import Observer
from gradewatch.remediation.lease import ActingLease
from gradewatch.remediation.remedies import Remedies
from gradewatch.stores.sqlite import SqliteStore, schema

START = 1_772_442_000_000_000  # 2026-03-02 09:00 UTC, in microseconds


class Time:
    """ports.Clock and the store's clock (call it for microseconds) in one: they go together, but for a step."""

    def __init__(self) -> None:
        self._mono, self._micros = 1000.0, START

    def __call__(self) -> int:
        return self._micros

    def mono(self) -> float:
        return self._mono

    def wall(self) -> datetime:
        return datetime.fromtimestamp(self._micros / 1_000_000, UTC)

    def go(self, seconds: float) -> None:
        """Time passes for everybody."""
        self._mono += seconds
        self.step(seconds)

    def step(self, seconds: float) -> None:
        """The store's clock jumps; no time passes."""
        self._micros += round(seconds * 1_000_000)


class Places:
    """A WorkerControl of words: `targets` are as they were put, a restart gives the next life or raises `refusal`."""

    kind = "words"

    def __init__(self, *targets: Target) -> None:
        self.there = {target.name: target for target in targets}
        self.restarted: list[str] = []
        self.refusal: Exception | None = None
        self.before: Callable[[], Any] | None = None  # awaited before a restart takes effect
        self._wakes: list[Callable[[], None]] = []

    async def targets(self) -> Sequence[Target]:
        return tuple(self.there.values())

    async def restart(self, target: str, incarnation: str) -> str:
        if self.before is not None:
            await self.before()
        if self.refusal is not None:
            raise self.refusal
        old = self.there.get(target)
        if old is None:
            raise PlatformError(f"there is no {target}")
        if old.incarnation != incarnation:
            raise Conflict(f"{target} is no longer {incarnation}")
        self.restarted.append(target)
        new = f"{target}-life-{len(self.restarted) + 1}"
        lives = (*old.ended_incarnations, *([incarnation] if old.running else []))
        self.there[target] = replace(
            old, incarnation=new, running=True, running_seconds=0.0, pid=4712, ended_incarnations=lives
        )
        return new

    def on_event(self, wake: Callable[[], None]) -> None:
        self._wakes.append(wake)

    def die(self, target: str, cause: ExitCause) -> None:
        """The target's process ends; its listeners are told."""
        old = self.there[target]
        lives = (*old.ended_incarnations, old.incarnation)
        self.there[target] = replace(old, running=False, pid=None, last_exit=cause, ended_incarnations=lives)
        for wake in self._wakes:
            wake()


def place(name: str = "place-1", *, life: str = "life-1", **changes: Any) -> Target:
    """A place whose process has been up for ten minutes."""
    plain = Target(name, ("default",), pid=4711, running=True, running_seconds=600.0, incarnation=life)
    return replace(plain, **changes)


class Before:
    """The real store, but that something happens right before a call of it: `hooks` by the method's name."""

    def __init__(self, store: Store, **hooks: Callable[[], Any]) -> None:
        self._store, self.hooks = store, hooks

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._store, name)
        if name not in self.hooks:
            return real

        async def call(*args: Any, **named: Any) -> Any:
            self.hooks[name]()
            return await real(*args, **named)

        return call


def settings(
    *,
    timeouts: Timeouts | None = None,
    budget: int = 1000,
    watch: Mapping[str, Any] | None = None,
    remediation: Mapping[str, Any] | None = None,
    **queue: Any,
) -> Settings:
    """The defaults, with some of the one queue's, the watch's and the repairs' changed; `budget` for every kind."""
    budgets = dict.fromkeys(ActionKind, Budget(budget, 600.0))
    return Settings(
        watch=replace(WatchSettings(), **(watch or {})),
        queues={"default": QueueSettings(timeouts=timeouts or Timeouts(), **queue)},
        remediation=replace(RemediationSettings(budget=budgets), **(remediation or {})),
    )


class Watch:
    """One watch, its parts at hand, with its own platform, board and name."""

    def __init__(
        self,
        store: Any,
        time: Time,
        by: Settings | None = None,
        platform: Places | None = None,
        *,
        name: str = "watch-1",
        single: bool = False,
    ) -> None:
        self.settings = by or settings()
        self.platform = platform or Places()
        self.board = Board(mono=time.mono)
        self.observer = Observer(store, store, self.platform, {}, self.settings, time, single=single)
        self.remedies = Remedies(store, self.platform, self.settings.remediation, by=name)
        self.lease = ActingLease(store, name, self.settings.remediation.lease, time)
        self.cycle = Cycle(self.observer, self.remedies, self.lease, self.board, self.settings, time)


@cache
def empty() -> bytes:
    """A database with its tables, as a file: made once, because each migration waits for the disk."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "empty.db"
        schema.migrate(path, 5.0)
        return path.read_bytes()


@asynccontextmanager
async def opened(path: Path, time: Time, **options: Any) -> AsyncIterator[SqliteStore]:
    path.write_bytes(empty())
    store = SqliteStore(path, clock=time, **options)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@contextmanager
def taken_away(path: Path) -> Any:
    """The store is away for the length of the context: every call raises StoreUnavailable."""
    take_away(path)
    try:
        yield
    finally:
        bring_back(path)


def take_away(path: Path) -> None:
    path.rename(path.with_suffix(".away"))


def bring_back(path: Path) -> None:
    path.with_suffix(".away").rename(path)


def written(path: Path, *, but: Sequence[str] = ()) -> list[str]:
    """All that the database holds, as SQL, but for some tables."""
    with closing(sqlite3.connect(path)) as connection:
        skipped = tuple(f'INSERT INTO "{table}"' for table in but)
        return [line for line in connection.iterdump() if not line.startswith(skipped)]


def new(count: int = 1, **changes: Any) -> list[NewJob]:
    return [NewJob(**({"kind": "grade", "payload": {"n": n}} | changes)) for n in range(count)]


def new_session(name: str = "worker-1", **changes: Any) -> NewSession:
    plain = NewSession(name, ("default",), slots=2, host="host-1", pid=4711, version="0.1.0")
    return replace(plain, **changes)


async def claimed(store: Store, count: int = 1, *, queue: str = "default", **session: Any) -> tuple[str, list[Job]]:
    """A worker's session that has just claimed so many new jobs."""
    who = await store.open_session(new_session(**session))
    await store.submit(new(count, queue=queue))
    return who, await store.claim(who, [queue], ["grade"], count)


async def beat(store: Store, session: str) -> bool:
    return (await store.beat(session, loop_age=0.0, busy=1)).session_open


async def job(store: Store, id: str) -> Job:
    found = await store.job(id)
    assert found is not None
    return found


async def trail(store: Store) -> list[tuple[str, str, str]]:
    """(action, outcome, subject) of the audit trail, oldest first."""
    return [(e.action, e.outcome.value, e.subject) for e in reversed(await store.audit(limit=10_000))]
