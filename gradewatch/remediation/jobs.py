"""Repairs of jobs: late ones failed, lost ones taken back or failed. Guarded by what was read, in bounded writes, each
row with its audit line in the same transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

from gradewatch.errors import LeaseLost
from gradewatch.model import Action, Result
from gradewatch.ports import JobWriter


async def repair_jobs(
    writer: JobWriter, actions: Sequence[Action], *, sweep: str, by: str, batch: int, may_act: Callable[[], bool]
) -> AsyncIterator[list[Result]]:
    """Apply the actions, `batch` rows a write, and yield the results of each write. `may_act` is asked before each,
    so that a watch whose lease ran out in the middle stops there: LeaseLost. Raises store errors; what was written
    until then stays, audited."""
    for start in range(0, len(actions), batch):
        if not may_act():
            raise LeaseLost("the lease of the acting watch ended in the middle of a repair; another watch goes on")
        yield await writer.repair(actions[start : start + batch], sweep=sweep, by=by)
