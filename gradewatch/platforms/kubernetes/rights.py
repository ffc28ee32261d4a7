"""Which rights the watch needs, and whether it has them, by asking the API server itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gradewatch.model import Right
from gradewatch.platforms.kubernetes.api import Api
from gradewatch.platforms.kubernetes.workload import Place

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
AT_ONCE = 5  # questions under way


@dataclass(frozen=True, slots=True)
class Need:
    verb: str
    group: str
    resource: str
    why: str
    subresource: str = ""
    name: str = ""

    @property
    def shown(self) -> str:
        """As `kubectl auth can-i` takes it."""
        whole = f"{self.resource}/{self.subresource}" if self.subresource else self.resource
        return f"{self.resource}.{self.group}" if self.group and not self.subresource else whole


def needs(place: Place, lease: str, *, scale_up: bool) -> Iterator[Need]:
    """docs/kubernetes.md has the same list as a Role."""
    see, act = "to see how workers live and die", "to restart a worker that hangs"
    yield from (Need(verb, "", "pods", see) for verb in ("list", "watch"))
    yield Need("get", "", "pods", "to look again before a pod is touched")
    yield Need("create", "", "pods", act, subresource="eviction")
    yield Need("delete", "", "pods", f"{act} where evictions are not allowed")
    for verb in ("get", "list", "watch"):
        yield Need(verb, "apps", place.resource, f"to see whether {place.name} exists and wants pods", name=place.name)
    yield Need("patch", "apps", place.resource, "to restart all workers when all are at fault", name=place.name)
    if place.kind == "Deployment":
        yield Need("get", "apps", "replicasets", "to be sure whose pod it is before it is touched")
    if scale_up:
        for verb in ("get", "patch"):
            yield Need(verb, "apps", place.resource, "to scale from 0 to 1 (platform.scale_up)", "scale", place.name)
    yield Need("create", "coordination.k8s.io", "leases", "so that only one watch acts")
    for verb in ("get", "update"):
        yield Need(verb, "coordination.k8s.io", "leases", "so that only one watch acts", name=lease)
    for verb in ("create", "patch"):
        yield Need(verb, "", "events", "to tell the story where `kubectl describe` shows it")


async def review(api: Api, place: Place, lease: str, *, scale_up: bool) -> Sequence[Right]:
    """Every right, with the server's answer. Raises ApiError."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def ask(need: Need) -> Right:
        async with gate:
            return await _ask(api, place.namespace, need)

    return await asyncio.gather(*(ask(need) for need in needs(place, lease, scale_up=scale_up)))


async def _ask(api: Api, namespace: str, need: Need) -> Right:
    attributes = {
        "namespace": namespace,
        "verb": need.verb,
        "group": need.group,
        "resource": need.resource,
        **({"subresource": need.subresource} if need.subresource else {}),
        **({"name": need.name} if need.name else {}),
    }
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    answer = await api.request("POST", REVIEWS, body=body)
    allowed = (answer.get("status") or {}).get("allowed") is True
    scope = f"namespace {namespace}" + (f", {need.name}" if need.name else "")
    fix = (
        f"Add {need.verb} on {need.shown} to the Role of the watch's service account; docs/kubernetes.md has all of it."
    )
    return Right(need.verb, need.shown, scope, allowed, need.why, "" if allowed else fix)
