"""All that one cycle may do to the world, in order: verify, record, fence, repair jobs, restart."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import structlog

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
from gradewatch.ports import AuditLog, Control, JobWriter, RescueControl, Sessions, WorkerControl
from gradewatch.remediation.audit import HeldBack
from gradewatch.remediation.fence import fence, to_fence
from gradewatch.remediation.jobs import repair_jobs
from gradewatch.remediation.rescue import rescue
from gradewatch.remediation.restart import restart, verify
from gradewatch.rescue import ended

log = structlog.get_logger(__name__)


class Writes(JobWriter, Sessions, AuditLog, Control, Protocol):
    """The writing ports that remedies need of a store."""


class Remedies:
    """Acts on rulings. Every method raises store errors: the cycle then reports what was done until there."""

    def __init__(
        self,
        store: Writes,
        platform: WorkerControl,
        settings: RemediationSettings,
        *,
        by: str,
        rescuer: RescueControl | None = None,
    ) -> None:
        self._store, self._platform, self._settings, self._by = store, platform, settings, by
        self._rescuer = rescuer
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
        jobs = [a for a in allowed if a.kind not in (ActionKind.RESTART, ActionKind.RESCUE)]
        done += [Result(a, Outcome.NOOP, "its worker came back") for a in jobs if _of(a, back)]
        ours = [a for a in jobs if not _of(a, back)]
        batch = self._settings.batch
        async for results in repair_jobs(self._store, ours, sweep=sweep, by=self._by, batch=batch, may_act=may_act):
            done += results
        if not may_act():
            raise LeaseLost("the lease of the acting watch ended before the restarts; another watch goes on")
        await self._restart([a for a in allowed if a.kind is ActionKind.RESTART], sweep, done)
        if self._rescuer is not None:
            for action in (a for a in allowed if a.kind is ActionKind.RESCUE):
                done.append(await rescue(self._rescuer, self._store, action, sweep=sweep, by=self._by))

    async def relieve(self, why: Mapping[str, str], *, sweep: str) -> None:
        """End the rescue of these queues, each for its reason."""
        if self._rescuer is not None and why:
            self._rescuer.release(list(why))
            for queue, reason in why.items():
                await self._store.record(ended(queue, reason), Outcome.APPLIED, sweep=sweep, by=self._by)
                log.warning("rescue ended", queue=queue, why=reason)

    def step_down(self) -> None:
        """Another watch acts: what only the acting one may do ends."""
        if self._rescuer is not None:
            self._rescuer.release()

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
