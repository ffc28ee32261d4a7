"""One attempt at one job: run its handler, and say how to let go of the claim."""

from __future__ import annotations

import asyncio
import json
import random

import structlog

from gradewatch.errors import Conflict
from gradewatch.model import Finish, FinishKind
from gradewatch.worker.context import Handler
from gradewatch.worker.fenced import FencedContext
from gradewatch.worker.outcome import after_error
from gradewatch.worker.slots import Running

log = structlog.get_logger(__name__)

STRICT = json.JSONEncoder(allow_nan=False)


async def attempt(running: Running, handler: Handler, context: FencedContext, rng: random.Random) -> Finish | None:
    """How the attempt ended, once all its checkpoints are written; None when the claim was lost on the way.

    Raises CancelledError when it was told to stop.
    """
    log.info("processing job", **running.ids)
    try:
        finish = await _run(running, handler, context, rng)
        await context.settle()
    except Conflict:
        return None
    return None if running.lost else finish


async def _run(running: Running, handler: Handler, context: FencedContext, rng: random.Random) -> Finish:
    try:
        result = dict(await handler(context))
        STRICT.encode(result)  # what no store can keep fails here, by itself, not in a batch with others
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        return failed(running, error, rng)  # nobody cancelled us: something the handler awaited was
    except Exception as error:  # noqa: BLE001 - whatever a handler raises concerns its job alone
        return failed(running, error, rng)
    except SystemExit as error:
        return failed(running, error, rng)  # a library that calls sys.exit() must not end the worker
    return Finish(running.claim, FinishKind.SUCCEED, result=result)


def failed(running: Running, error: BaseException, rng: random.Random) -> Finish:
    """How to let go of a job whose attempt raised; logged, unless the job is no longer ours."""
    finish = after_error(running.job, error, rng)
    if not running.lost:  # told at once, not when it is written: an operator wants it during an outage too
        retry_in = round(finish.delay, 1) if finish.kind is FinishKind.RETRY else None
        code = finish.error.code if finish.error else ""
        log.error("job failed", **running.ids, seconds=running.seconds, code=code, retry_in=retry_in, exc_info=error)
    return finish
