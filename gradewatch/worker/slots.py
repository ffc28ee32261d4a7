"""The jobs this process is running now, by claim: what is busy, what is free, what has been lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from gradewatch.model import Claimed, Finish, Job


@dataclass(eq=False, slots=True)
class Running:
    """One job in one slot. `since` is monotonic; `lost` says why the claim is no longer ours, empty while it is."""

    job: Job
    session_id: str
    since: float = field(default_factory=time.monotonic)
    task: asyncio.Task[Finish | None] | None = None
    lost: str = ""
    claim: Claimed = field(init=False)

    def __post_init__(self) -> None:
        self.claim = Claimed(self.job.id, self.job.token)

    @property
    def seconds(self) -> float:
        return round(time.monotonic() - self.since, 3)

    @property
    def ids(self) -> dict[str, str | int]:
        job = self.job
        return {"job": job.id, "queue": job.queue, "kind": job.kind, "attempt": job.attempt, "token": job.token}

    def lose(self, why: str) -> None:
        """The claim is gone: stop the handler and write nothing for it anymore. The first reason counts."""
        if not self.lost:
            self.lost = why
            self.cancel()

    def cancel(self) -> None:
        if self.task is not None and self.task is not asyncio.current_task():
            self.task.cancel()


class Slots:
    """`len` is read by the heartbeat's thread; everything else belongs to the event loop."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._running: dict[Claimed, Running] = {}

    def __len__(self) -> int:
        return len(self._running)

    def __contains__(self, claim: Claimed) -> bool:
        return claim in self._running

    def __iter__(self) -> Iterator[Running]:
        return iter(tuple(self._running.values()))

    @property
    def free(self) -> int:
        """0 while a job runs alone: it is suspected of having killed a worker, and must take no other job with it."""
        alone = len(self) == 1 and next(iter(self._running.values())).job.run_alone
        return 0 if alone else self.size - len(self)

    def put(self, running: Running) -> None:
        self._running[running.claim] = running

    def leave(self, running: Running) -> bool:
        """False when it had left already."""
        return self._running.pop(running.claim, None) is not None

    def missing(self, held: Collection[Claimed], session_id: str, before: float) -> list[Running]:
        """Jobs of that session, here since before the monotonic time `before`, that the store no longer counts as
        held. A job that came later may have been claimed after `held` was read; one that has left is nobody's loss."""
        return [r for r in self if r.since < before and r.session_id == session_id and r.claim not in held]
