"""Restart a worker on its platform, on record before it is done, and verify afterwards that it helped."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from gradewatch.errors import Conflict, NotNow, PlatformError, StoreError
from gradewatch.history import verifications
from gradewatch.model import Action, ControlFacts, Outcome, Result, Snapshot
from gradewatch.ports import AuditLog, WorkerControl

log = structlog.get_logger(__name__)

DEADLINE = 15.0  # seconds one restart may take on its platform


async def restart(platform: WorkerControl, audit: AuditLog, action: Action, *, sweep: str, by: str) -> Result:
    """The audit entry is written first, as applied: a watch that dies in the act has spent its budget. Raises store
    errors only when nothing was done yet."""
    audit_id = await audit.record(action, Outcome.APPLIED, sweep=sweep, by=by)
    outcome, detail = await _act(platform, action)
    if outcome is not Outcome.APPLIED:
        await _amend(audit, audit_id, outcome)
    log.warning("worker restarted" if outcome is Outcome.APPLIED else "worker not restarted",
                worker=action.target, outcome=outcome.value, why=action.message, detail=detail)  # fmt: skip
    return Result(action, outcome, detail)


async def _amend(audit: AuditLog, audit_id: int, outcome: Outcome) -> None:
    try:
        await audit.amend(audit_id, outcome=outcome)
    except StoreError as error:
        # The entry goes on saying "applied": the budget stays spent, and verification finds that it did not help.
        log.error("outcome of a restart not recorded", audit=audit_id, outcome=outcome.value, error=str(error))


async def _act(platform: WorkerControl, action: Action) -> tuple[Outcome, str]:
    try:
        async with asyncio.timeout(DEADLINE):
            return Outcome.APPLIED, await platform.restart(action.target or "", action.incarnation)
    except Conflict as error:
        return Outcome.NOOP, str(error)
    except NotNow as error:
        return Outcome.SUPPRESSED, str(error)
    except PlatformError as error:
        return Outcome.FAILED, str(error)
    except TimeoutError:
        return Outcome.FAILED, f"the platform did not restart it within {DEADLINE:g} s"


async def verify(
    audit: AuditLog, snapshot: Snapshot, control: ControlFacts, window: float
) -> Sequence[tuple[str, bool]]:
    """Write down which restarts helped, and which did not within `window` seconds. Raises store errors."""
    judged = []
    for record, effective in verifications(snapshot, control, window):
        await audit.amend(record.audit_id, verified=effective)
        if effective:
            log.info("restart verified", worker=record.target, audit=record.audit_id)
        else:
            log.error("restart did not help", worker=record.target, audit=record.audit_id, window=window)
        judged.append((record.target, effective))
    return judged
