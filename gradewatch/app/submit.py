"""Enqueue a grading job: papers kept, rubric checked, everything wrong with them said at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from gradewatch.errors import PaperError, RubricError
from gradewatch.model import NewJob
from gradewatch.ports import Store
from gradewatch.worker.payload import GRADE, build_payload
from gradewatch.worker.rubric import Rubric


async def submit_papers(
    store: Store,
    papers: Sequence[Path],
    rubric: Path,
    *,
    queue: str = "default",
    priority: int = 0,
    key: str | None = None,
) -> str:
    """Keep the papers in the store and enqueue one job to grade them; returns its id.

    A paper that turns out unreadable fails alone when it is graded; what is refused here is a file that is not there.
    Raises PaperError, RubricError, and store errors.
    """
    missing = [str(path) for path in papers if not path.is_file()]
    if missing or not papers:
        raise PaperError("paper_missing", f"no such file: {', '.join(missing)}" if missing else "no papers were given")
    checked = await asyncio.to_thread(read_rubric, rubric)
    refs = [await store.put(path, path.name) for path in papers]
    job = NewJob(
        kind=GRADE,
        payload=build_payload(refs, checked),
        queue=queue,
        priority=priority,
        progress_total=len(refs),
        key=key,
    )
    return (await store.submit([job]))[0]


def read_rubric(path: Path) -> Rubric:
    """The rubric in a file. Raises RubricError with every problem, each with the file's name."""
    try:
        return Rubric.parse(path.read_bytes())
    except OSError as error:
        why = "there is no such file" if isinstance(error, FileNotFoundError) else error.strerror or str(error)
        raise RubricError([f"rubric {path}: {why}"]) from error
    except RubricError as error:
        raise RubricError([f"rubric {path}: {problem}" for problem in error.problems]) from error
