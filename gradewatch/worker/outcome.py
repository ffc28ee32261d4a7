"""How an attempt that raised lets go of its job: tried again, or failed for good."""

from __future__ import annotations

import random

from gradewatch.errors import PayloadError, RubricError
from gradewatch.model import Claimed, Finish, FinishKind, Job, JobError
from gradewatch.worker.backoff import full_jitter

RETRY_BASE = 2.0  # seconds
RETRY_CAP = 300.0  # seconds
MAX_MESSAGE = 500  # characters of an error kept on the job

PERMANENT: dict[type[BaseException], str] = {PayloadError: "payload_invalid", RubricError: "rubric_invalid"}


def after_error(job: Job, error: BaseException, rng: random.Random) -> Finish:
    """FAIL where trying again cannot help or the attempts are spent, else RETRY after a full-jitter backoff."""
    claim = Claimed(job.id, job.token)
    for kind, code in PERMANENT.items():
        if isinstance(error, kind):
            return Finish(claim, FinishKind.FAIL, error=JobError(code, str(error)[:MAX_MESSAGE]))
    message = f"{type(error).__name__}: {error}"[:MAX_MESSAGE]
    if job.attempt >= job.max_attempts:
        return Finish(claim, FinishKind.FAIL, error=JobError("attempts_exhausted", message))
    delay = full_jitter(job.attempt, base=RETRY_BASE, cap=RETRY_CAP, rng=rng)
    return Finish(claim, FinishKind.RETRY, error=JobError("attempt_failed", message), delay=delay)
