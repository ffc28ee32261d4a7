"""Gradewatch: the grading worker, and the watch that never lets its queue get stuck unseen.

The public API for a backend:

    job_id = await gradewatch.submit(["exam-1.pdf", "exam-2.png"], "rubric.yaml")
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike

from gradewatch.version import __version__

__all__ = ["__version__", "submit"]


async def submit(
    papers: Sequence[str | PathLike[str]],
    rubric: str | PathLike[str],
    *,
    queue: str = "default",
    priority: int = 0,
    key: str | None = None,
    config: str | PathLike[str] | None = None,
) -> str:
    """Enqueue one job that grades `papers` (PDF, PNG or JPEG files) by `rubric` (a YAML or JSON file); returns its id.

    The store is that of gradewatch.toml (or `config`) and of the environment. A higher `priority` is claimed first. A
    `key` makes the call safe to repeat: within one queue it gives the id of the job that has it already.
    Raises ConfigError, PaperError for a file that is not there, RubricError, and store errors (gradewatch.errors).
    """
    from pathlib import Path

    from gradewatch.app.stores import opened
    from gradewatch.app.submit import submit_papers
    from gradewatch.config import load

    settings = load(Path(config) if config is not None else None).require()
    async with opened(settings) as store:
        files = [Path(paper) for paper in papers]
        return await submit_papers(store, files, Path(rubric), queue=queue, priority=priority, key=key)
