"""A probe's call made into a reading: a value, or Unknown with the reason. A failed probe is never healthy."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from gradewatch.errors import AccessDenied, GradewatchError, SchemaMismatch, StoreError
from gradewatch.model import Code, Known, Reading, Unknown
from gradewatch.ports import Clock

T = TypeVar("T")
log = structlog.get_logger(__name__)


async def take(probe: str, call: Callable[[], Awaitable[T]], clock: Clock, deadline: float) -> Reading[T]:
    """Run one probe for at most `deadline` seconds. Never raises, but for cancellation."""
    try:
        async with asyncio.timeout(deadline):
            return Known(await call(), clock.mono())
    except TimeoutError:
        return Unknown(f"no answer within {deadline:g} s", clock.mono(), Code.STORE_UNREACHABLE)
    except GradewatchError as error:
        return Unknown(str(error), clock.mono(), _code(error), error.fix if isinstance(error, StoreError) else "")
    except Exception as error:  # a fault of ours must be seen as Unknown and logged, not end the watch
        log.exception("probe failed unexpectedly", probe=probe)
        return Unknown(f"the probe failed: {type(error).__name__}", clock.mono())


def _code(error: GradewatchError) -> Code | None:
    if isinstance(error, AccessDenied):
        return Code.STORE_ACCESS_DENIED
    if isinstance(error, SchemaMismatch):
        return Code.STORE_SCHEMA_MISMATCH
    return Code.STORE_UNREACHABLE if isinstance(error, StoreError) else None
