"""The command line in a folder of its own, over a real SQLite store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from click.testing import CliRunner, Result

from gradewatch.cli.root import root
from gradewatch.model import NewJob, NewSession
from gradewatch.stores.sqlite import SqliteStore

T = TypeVar("T")

RUBRIC = "exam: Physics\nquestions:\n  - id: Q1\n    keywords: [{word: gravity, marks: 2}]\n"


class Place:
    """A folder where `gradewatch` is called; `database` is its embedded default."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = folder / "gradewatch.db"

    def run(self, *args: str, code: int = 0) -> Result:
        """Run one command in this process and check its exit code."""
        result = CliRunner().invoke(root, list(args), catch_exceptions=False)
        assert result.exit_code == code, f"exit code {result.exit_code}\n{result.stdout}\n{result.stderr}"
        return result

    def json(self, *args: str, code: int = 0) -> Any:
        """What a command prints with --json."""
        return json.loads(self.run(*args, "--json", code=code).stdout)

    def store(self, work: Callable[[SqliteStore], Awaitable[T]]) -> T:
        """Do something with the store that the commands will see; its tables are made at the first use."""

        async def done() -> T:
            store = SqliteStore(self.database)
            try:
                await store.migrate()
                await store.open()
                return await work(store)
            finally:
                await store.close()

        return asyncio.run(done())

    def add_job(self, **changes: Any) -> str:
        job = NewJob(**({"kind": "grade", "payload": {"papers": []}, "progress_total": 3} | changes))
        return self.store(lambda store: store.submit([job]))[0]

    def add_worker(self, name: str = "worker-1", queues: tuple[str, ...] = ("default",)) -> str:
        """An open session that has just beaten."""
        return self.store(lambda store: store.open_session(new_session(name, queues)))

    def claim(self, session: str, queue: str = "default") -> None:
        self.store(lambda store: store.claim(session, [queue], ["grade"], 1))

    def papers(self, *names: str) -> list[Path]:
        """Files that stand for papers: nobody looks into them before they are graded."""
        for name in names:
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_bytes(b"%PDF-1.7 " + name.encode())
        return [self.folder / name for name in names]

    def rubric(self, text: str = RUBRIC) -> str:
        (self.folder / "rubric.yaml").write_text(text)
        return "rubric.yaml"


def new_session(name: str, queues: tuple[str, ...] = ("default",)) -> NewSession:
    return NewSession(name=name, queues=queues, slots=2, host="host-1", pid=4711, version="0.1.0")
