"""Pods that are no longer told of are looked for by name and UID: only one that is not there is proved to be gone."""

from __future__ import annotations

import asyncio

import structlog

from gradewatch.platforms.kubernetes.api import Api
from gradewatch.platforms.kubernetes.faults import ApiError
from gradewatch.platforms.kubernetes.roster import Roster
from gradewatch.platforms.kubernetes.workload import Place

log = structlog.get_logger(__name__)

AGAIN = 5.0  # seconds until a pod is looked for again, where the server did not say


async def look_for_missing(api: Api, place: Place, roster: Roster) -> None:
    """For ever. One request at a time: after an outage many may be missing at once."""
    while True:
        await roster.looked_for.wait()
        roster.looked_for.clear()
        while roster.missing:
            for uid, pod in list(roster.missing.items()):
                try:
                    there = await _is_there(api, f"{place.pods}/{pod.facts.name}", uid)
                except ApiError as error:
                    log.info("whether a pod is gone could not be read", pod=pod.facts.name, error=str(error))
                    await asyncio.sleep(max(AGAIN, error.retry_after))
                else:
                    roster.found(uid, there=there)


async def _is_there(api: Api, path: str, uid: str) -> bool:
    """Raises ApiError, but for 404."""
    try:
        found = await api.get(path)
    except ApiError as error:
        if error.status == 404:
            return False
        raise
    return (found.get("metadata") or {}).get("uid") == uid
