"""The three things we do to the cluster: evict or delete one pod, roll a workload out anew, scale it from 0 to 1.

Each looks again at what it is about to touch, and is guarded by UID or resource version: Conflict where it is no longer
what was decided on, NotNow where Kubernetes asks to wait, PlatformError where it refuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn

from gradewatch.errors import Conflict, NotNow, PlatformError
from gradewatch.platforms.kubernetes.api import MERGE_PATCH, Api, Json
from gradewatch.platforms.kubernetes.facts import PodFacts, read_pod
from gradewatch.platforms.kubernetes.faults import ApiError
from gradewatch.platforms.kubernetes.owners import Belongs, Owners
from gradewatch.platforms.kubernetes.workload import Place, WorkloadFacts, read_workload

RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"  # as `kubectl rollout restart` writes it
WAIT = (429, 503)


class Restarter:
    def __init__(self, api: Api, place: Place, owners: Owners, *, container: str, start_grace: float) -> None:
        self._api, self._place, self._owners = api, place, owners
        self._container, self._grace = container, start_grace

    async def pod(self, name: str, uid: str) -> str:
        """Evict that pod, or delete it where evictions are not ours to ask for."""
        await self._check(name, uid)
        precondition = {"preconditions": {"uid": uid}}
        eviction = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": self._place.namespace},
            "deleteOptions": precondition,
        }
        path = f"{self._place.pods}/{name}"
        try:
            await self._api.request("POST", f"{path}/eviction", body=eviction)
            return f"evicted {name}: its {self._place.kind} puts another in its place"
        except ApiError as error:
            if error.status not in (403, 405):  # not allowed, or a server without evictions
                _raise(error, f"Pod {name}")
        options = {"apiVersion": "v1", "kind": "DeleteOptions", **precondition}
        try:
            await self._api.request("DELETE", path, body=options)
        except ApiError as error:
            _raise(error, f"Pod {name}")
        return f"deleted {name}: its {self._place.kind} puts another in its place"

    async def roll_out(self, incarnation: str) -> str:
        """All its pods, one after another as its strategy says."""
        facts = await self._workload(incarnation)
        if facts.paused:
            raise PlatformError(f"{self._shown} is paused: resume it before it is rolled out (kubectl rollout resume)")
        stamp = datetime.now(UTC).isoformat(timespec="seconds")
        patch = {
            "metadata": {"uid": facts.uid, "resourceVersion": facts.version},
            "spec": {"template": {"metadata": {"annotations": {RESTARTED_AT: stamp}}}},
        }
        await self._patch(self._place.path, patch)
        return f"rolled out {self._place.name} anew: every pod of it is replaced"

    async def scale_up(self, incarnation: str) -> str:
        """From no pod to one; any other number somebody else has chosen."""
        await self._workload(incarnation)
        path = f"{self._place.path}/scale"
        try:
            scale = await self._api.get(path)
        except ApiError as error:
            _raise(error, self._shown)
        if (scale.get("spec") or {}).get("replicas", 0) != 0:
            raise Conflict(f"{self._shown} was scaled up by somebody else")
        version = (scale.get("metadata") or {}).get("resourceVersion")
        await self._patch(path, {"metadata": {"resourceVersion": version}, "spec": {"replicas": 1}})
        return f"scaled {self._place.name} from 0 to 1"

    # ---------------------------------------------------------------- looking again

    async def _check(self, name: str, uid: str) -> None:
        pod = await self._pod(name)
        if pod is None or pod.uid != uid:
            raise Conflict(f"Pod {name} is no longer {uid}: somebody else was faster")
        if pod.deleting or pod.over:
            raise Conflict(f"Pod {name} is being stopped already")
        facts = await self._workload("")
        whose = await self._owners.belongs(pod.owner, facts.uid, fresh=True)
        if whose is Belongs.UNKNOWN:
            raise PlatformError(f"Whose pod {name} is could not be read: {self._owners.error}")
        if whose is Belongs.OTHERS:
            raise PlatformError(f"Pod {name} is not one of {self._shown}: it is left alone")
        if facts.rolling:
            raise NotNow(f"A rollout of {self._shown} is in progress")
        now = self._api.now
        if now is not None and pod.created is not None and now.timestamp() - pod.created < self._grace:
            raise NotNow(f"Pod {name} is younger than remediation.start_grace ({self._grace:g} s)")

    async def _pod(self, name: str) -> PodFacts | None:
        try:
            return read_pod(await self._api.get(f"{self._place.pods}/{name}"), self._container)
        except ApiError as error:
            if error.status == 404:
                return None
            _raise(error, f"Pod {name}")

    async def _workload(self, incarnation: str) -> WorkloadFacts:
        """As it is now; Conflict where it is no longer that incarnation, if one is given."""
        try:
            facts = read_workload(await self._api.get(self._place.path))
        except ApiError as error:
            _raise(error, self._shown)
        if incarnation and facts.incarnation != incarnation:
            raise Conflict(f"{self._shown} was changed since it was read: somebody else was faster")
        if incarnation and facts.rolling:
            raise NotNow(f"A rollout of {self._shown} is in progress")
        return facts

    async def _patch(self, path: str, patch: Json) -> Mapping[str, Any]:
        try:
            return await self._api.request("PATCH", path, body=patch, content_type=MERGE_PATCH)
        except ApiError as error:
            _raise(error, self._shown)

    @property
    def _shown(self) -> str:
        return f"{self._place.kind} {self._place.name}"


def _raise(error: ApiError, what: str) -> NoReturn:
    """The same in the words of a platform: it is no longer so, not at this moment, or not at all."""
    if error.status in (404, 409):
        raise Conflict(f"{what} is no longer as it was read: {error}") from error
    if error.status in WAIT:
        raise NotNow(f"{what} is not to be disturbed now: {error}") from error
    raise error
