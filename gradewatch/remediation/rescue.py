"""Run a worker ourselves, on record before it is done."""

from __future__ import annotations

import structlog

from gradewatch.errors import PlatformError, StoreError
from gradewatch.model import Action, Outcome, Result
from gradewatch.ports import AuditLog, RescueControl

log = structlog.get_logger(__name__)


async def rescue(rescuer: RescueControl, audit: AuditLog, action: Action, *, sweep: str, by: str) -> Result:
    """The audit entry is written first, as applied: a watch that dies in the act has spent its budget. Raises store
    errors only when nothing was done yet."""
    audit_id = await audit.record(action, Outcome.APPLIED, sweep=sweep, by=by)
    try:
        await rescuer.add(action.queue)
    except PlatformError as error:
        log.error("rescue worker not started", queue=action.queue, error=str(error))
        try:
            await audit.amend(audit_id, outcome=Outcome.FAILED)
        except StoreError as refusal:
            log.error("outcome of a rescue not recorded", audit=audit_id, error=str(refusal))
        return Result(action, Outcome.FAILED, str(error))
    log.warning("rescue worker started", queue=action.queue, why=action.message)
    return Result(action, Outcome.APPLIED)
