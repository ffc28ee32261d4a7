"""Guarded repairs through the function `repair`, which is told once what many of them have in common."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

from gradewatch.model import Action, JobError, Outcome, Result
from gradewatch.stores.postgres import encode

if TYPE_CHECKING:
    from gradewatch.stores.postgres.caller import Caller

ABREAST = 3  # chunks repaired at the same time: while two are being written, the next one is prepared
CHUNK = 335  # jobs repaired in one statement, some 20 ms: the watch's 2,000 (remediation.batch) take two


async def repair(caller: Caller, actions: Sequence[Action], sweep: str, by: str) -> list[Result]:
    """One result an action, in order. No job may be among them twice. Raises store errors."""
    alike: dict[Hashable, list[int]] = {}
    for place, action in enumerate(actions):
        if action.job is None:
            raise ValueError(f"{action.kind.value} is not a repair of a job")
        common = (action.kind, action.queue, action.reason, action.message, action.error, action.run_alone)
        alike.setdefault((*common, action.job.state), []).append(place)
    said = encode.dump([_said([actions[place] for place in places]) for places in alike.values()])
    answers = await caller.call("repair", actions=said, in_sweep=sweep, by_whom=by)
    counted = [place for places in alike.values() for place in places]
    results = [Result(action, Outcome.APPLIED, "") for action in actions]
    for nth, applied, detail in answers:  # only of those that did not go as asked
        action = actions[counted[nth]]
        results[counted[nth]] = Result(action, Outcome.APPLIED if applied else Outcome.NOOP, detail)
    return results


def _said(some: Sequence[Action]) -> dict[str, Any]:
    first, jobs = some[0], [action.job for action in some if action.job is not None]
    error = first.error or JobError(first.reason.value, first.message)
    return {
        "kind": first.kind.value,
        "queue": encode.text(first.queue),
        "reason": first.reason.value,
        "message": encode.text(first.message),
        "code": encode.text(error.code),
        "error": encode.text(error.message),
        "run_alone": first.run_alone,
        "state": jobs[0].state.value,
        "ids": [encode.text(job.id) for job in jobs],
        "tokens": [job.token for job in jobs],
        "session_ids": [job.session_id for job in jobs],
        "run_ats": [job.run_at.isoformat() for job in jobs],
    }
