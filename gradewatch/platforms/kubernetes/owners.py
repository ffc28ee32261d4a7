"""Whose pod is it? A pod belongs to a Deployment by its ReplicaSet, whose own owner says so; to a StatefulSet directly.
Names prove nothing: every step is by UID."""

from __future__ import annotations

import time
from collections import OrderedDict
from enum import Enum

import structlog

from gradewatch.platforms.kubernetes.api import Api
from gradewatch.platforms.kubernetes.facts import Owner, owner_of
from gradewatch.platforms.kubernetes.faults import ApiError
from gradewatch.platforms.kubernetes.workload import Place

log = structlog.get_logger(__name__)

REMEMBERED = 500  # ReplicaSets
ASK_AGAIN = 30.0  # seconds after which one that could not be read is asked for again


class Belongs(Enum):
    OURS = "ours"
    OTHERS = "others"
    UNKNOWN = "unknown"


class Owners:
    """Remembers which ReplicaSet belongs to whom: its owner does not change while it is there."""

    def __init__(self, api: Api, place: Place) -> None:
        self._api, self._place = api, place
        self._known: OrderedDict[str, Owner | None] = OrderedDict()
        self._failed: dict[str, float] = {}
        self.error = ""  # why the last one could not be read

    async def belongs(self, owner: Owner | None, workload_uid: str, *, fresh: bool = False) -> Belongs:
        """Does a pod with this controller belong to our workload? `fresh`: ask, whatever is remembered."""
        if owner is None or not owner.uid:
            return Belongs.OTHERS
        if self._place.kind == "StatefulSet" or owner.kind != "ReplicaSet":
            ours = (owner.kind, owner.uid) == (self._place.kind, workload_uid)
            return Belongs.OURS if ours else Belongs.OTHERS
        if fresh or owner.uid not in self._known:
            if not fresh and time.monotonic() - self._failed.get(owner.uid, float("-inf")) < ASK_AGAIN:
                return Belongs.UNKNOWN
            try:
                self._remember(owner.uid, await self._ask(owner))
            except ApiError as error:
                self._note(owner, error)
                return Belongs.UNKNOWN
        above = self._known[owner.uid]
        ours = above is not None and (above.kind, above.uid) == ("Deployment", workload_uid)
        return Belongs.OURS if ours else Belongs.OTHERS

    async def _ask(self, owner: Owner) -> Owner | None:
        """The owner of a ReplicaSet. Raises ApiError, also where it is no longer the one that was meant."""
        found = await self._api.get(self._place.replica_set(owner.name))
        meta = found.get("metadata") or {}
        if meta.get("uid") != owner.uid:
            raise ApiError(f"ReplicaSet {owner.name} is another one now", 409)
        return owner_of(meta)

    def _remember(self, uid: str, above: Owner | None) -> None:
        self._failed.pop(uid, None)
        self._known[uid] = above
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    def _note(self, owner: Owner, error: ApiError) -> None:
        if owner.uid not in self._failed:
            log.warning("owner of a pod's ReplicaSet not read", replicaset=owner.name, error=str(error))
        self._failed[owner.uid], self.error = time.monotonic(), str(error)
        while len(self._failed) > REMEMBERED:
            self._failed.pop(next(iter(self._failed)))
