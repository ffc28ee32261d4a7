"""All that one cycle may do to the world, in order: verify, record, fence, repair jobs, restart."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from gradewatch.config import RemediationSettings
from gradewatch.errors import LeaseLost
from gradewatch.model import (
    Action,
    ActionKind,
    Code,
    Credit,
    Diagnosis,
    Known,
    Outcome,
    Result,
    Ruling,
    Snapshot,
    Unknown,
)
from gradewatch.ports import AuditLog, Control, JobWriter, Sessions, WorkerControl
from gradewatch.remediation.audit import HeldBack
from gradewatch.remediation.fence import fence, to_fence
from gradewatch.remediation.jobs import repair_jobs
from gradewatch.remediation.restart import restart, verify


class Writes(JobWriter, Sessions, AuditLog, Control, Protocol):
    """The writing ports that remedies need of a store."""


class Remedies:
    """Acts on rulings. Every method raises store errors: the cycle then reports what was done until there."""

    def __init__(self, store: Writes, platform: WorkerControl, settings: RemediationSettings, *, by: str) -> None:
        self._store, self._platform, self._settings, self._by = store, platform, settings, by
        self._held_back = HeldBack(store)

    async def credit(self, credit: Credit) -> None:
        """Remember what nobody may be blamed for."""
        await self._store.add_credit(credit)

    async def judge_restarts(self, snapshot: Snapshot) -> None:
        """Say of earlier restarts whether they helped."""
        if isinstance(snapshot.control, Known):
            await verify(self._store, snapshot, snapshot.control.value, self._settings.verify)

    async def act(
        self,
        snapshot: Snapshot,
        diagnosis: Diagnosis,
        rulings: Sequence[Ruling],
        *,
        sweep: str,
        may_act: Callable[[], bool],
        done: list[Result],
    ) -> None:
        """Carry out what was let through; each result is appended to `done` as it is known."""
        done += await self._held_back.record(rulings, sweep=sweep, by=self._by)
        allowed = [r.action for r in rulings if r.outcome is None]
        if self._settings.mode != "act" or snapshot.observe_only or not may_act():
            return
        back = await self._fence(snapshot, diagnosis, rulings)
        jobs = [a for a in allowed if a.kind is not ActionKind.RESTART]
        done += [Result(a, Outcome.NOOP, "its worker came back") for a in jobs if _of(a, back)]
        ours = [a for a in jobs if not _of(a, back)]
        batch = self._settings.batch
        async for results in repair_jobs(self._store, ours, sweep=sweep, by=self._by, batch=batch, may_act=may_act):
            done += results
        if not may_act():
            raise LeaseLost("the lease of the acting watch ended before the restarts; another watch goes on")
        await self._restart([a for a in allowed if a.kind is ActionKind.RESTART], sweep, done)

    async def _restart(self, actions: Sequence[Action], sweep: str, done: list[Result]) -> None:
        """All at once. Where one could not be put on record, the others are finished and told before that is raised."""
        ends = await asyncio.gather(
            *(restart(self._platform, self._store, a, sweep=sweep, by=self._by) for a in actions),
            return_exceptions=True,
        )
        done += [end for end in ends if isinstance(end, Result)]
        for end in ends:
            if isinstance(end, BaseException):
                raise end

    async def _fence(self, snapshot: Snapshot, diagnosis: Diagnosis, rulings: Sequence[Ruling]) -> frozenset[str]:
        control = snapshot.control
        if isinstance(control, Unknown) or control.value.pause or diagnosis.has(Code.MONITOR_SUSPECT):
            return frozenset()
        return await fence(self._store, diagnosis, to_fence(snapshot, diagnosis, rulings))


def _of(action: Action, sessions: frozenset[str]) -> bool:
    job = action.job
    return job is not None and job.session_id in sessions and action.kind in (ActionKind.REQUEUE, ActionKind.FAIL)
