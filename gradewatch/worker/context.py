"""What a job handler is given: its job, fenced writes, its papers. The runtime provides it; the pipeline uses it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol

from gradewatch.config import WorkerSettings
from gradewatch.model import Job, PaperRef, PaperResult


class JobContext(Protocol):
    """One claimed job. Every write carries the claim's token: `Conflict` says that the claim is lost, and that the
    handler must stop."""

    @property
    def job(self) -> Job: ...

    @property
    def settings(self) -> WorkerSettings: ...

    async def progress(self, done: int, total: int, message: str = "") -> None:
        """Tell people how far the job is. Raises Conflict when the claim is lost, or another store error."""
        ...

    async def waiting(self, why: str, seconds: float) -> None:
        """Show that the job waits for a provider, and have the `seconds` it has waited in all not counted. An empty
        `why` ends it: people see the progress again. Written later while the store is away. Conflict: claim lost."""
        ...

    async def save_paper(self, result: PaperResult) -> None:
        """Checkpoint one paper. Raises Conflict when the claim is lost, or another store error."""
        ...

    async def saved_papers(self) -> list[PaperResult]:
        """The checkpoints of earlier attempts at this job, in no particular order."""
        ...

    def paper(self, ref: PaperRef) -> AbstractAsyncContextManager[Path]:
        """The paper as a local file for the length of the context. PaperError when it is not there."""
        ...


Handler = Callable[[JobContext], Awaitable[Mapping[str, Any]]]
"""Runs one job and returns its result. PayloadError: trying again cannot help. Any other error: it may."""
