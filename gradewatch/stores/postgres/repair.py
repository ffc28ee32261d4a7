"""Guarded repairs through the function `repair`: in chunks, lest a statement take long, and a few of them at a time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

from gradewatch.errors import StoreError
from gradewatch.model import Action, JobError, Outcome, Result
from gradewatch.stores.postgres import encode

if TYPE_CHECKING:
    from gradewatch.stores.postgres.caller import Caller

ABREAST = 3  # chunks repaired at the same time: while two are being written, the next one is prepared
CHUNK = 500  # jobs repaired in one statement: some 30 ms

Asked = tuple[int, Action]  # an action and its place among all that were asked for


async def repair(caller: Caller, actions: Sequence[Action], sweep: str, by: str) -> list[Result]:
    """One result an action, in order. Once a chunk is written, a fault in another is reported as FAILED results rather
    than raised: what was done must not be forgotten."""
    results: dict[int, Result] = {}
    faults: list[StoreError] = []
    gate = asyncio.Semaphore(ABREAST)

    async def in_turn(chunk: Sequence[Asked]) -> None:
        async with gate:
            if faults:
                return
            try:
                results.update(await _repair(caller, chunk, sweep, by))
            except StoreError as error:
                faults.append(error)

    for wave in _waves(actions):
        await asyncio.gather(*(in_turn(wave[start : start + CHUNK]) for start in range(0, len(wave), CHUNK)))
    if faults and not results:
        raise faults[0]
    return [results.get(place) or Result(one, Outcome.FAILED, str(faults[0])) for place, one in enumerate(actions)]


def _waves(actions: Sequence[Action]) -> list[list[Asked]]:
    """No job twice in one of them: of two actions on one job the first one counts, and is done before the second."""
    waves: list[list[Asked]] = []
    times: Counter[str] = Counter()
    for place, action in enumerate(actions):
        time = times[action.subject]
        times[action.subject] += 1
        if time == len(waves):
            waves.append([])
        waves[time].append((place, action))
    return waves


async def _repair(caller: Caller, chunk: Sequence[Asked], sweep: str, by: str) -> dict[int, Result]:
    """What many of a chunk have in common is said once; the function tells only of what did not go as asked."""
    alike: dict[Hashable, list[Asked]] = {}
    for place, action in chunk:
        if action.job is None:
            raise ValueError(f"{action.kind.value} is not a repair of a job")
        common = (action.kind, action.queue, action.reason, action.message, action.error, action.run_alone)
        alike.setdefault((*common, action.job.state), []).append((place, action))
    said = encode.dump([_said([action for _, action in some]) for some in alike.values()])
    answers = await caller.call("repair", actions=said, in_sweep=sweep, by_whom=by)
    counted = [asked for some in alike.values() for asked in some]
    results = {place: Result(action, Outcome.APPLIED, "") for place, action in counted}
    for nth, applied, detail in answers:
        place, action = counted[nth]
        results[place] = Result(action, Outcome.APPLIED if applied else Outcome.NOOP, detail)
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
