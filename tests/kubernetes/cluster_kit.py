"""A cluster for tests: the stand-in, or the real one of GRADEWATCH_TEST_KUBECONFIG, spoken to in the same way."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from apiserver import ApiServer, Controllers, Faults, Kubelet, State

from gradewatch.config import PlatformSettings, RemediationSettings, Settings
from gradewatch.model import Target
from gradewatch.platforms.kubernetes import KubernetesPlatform
from gradewatch.platforms.kubernetes.access import Access, Kubeconfig
from gradewatch.platforms.kubernetes.api import MERGE_PATCH, Api
from gradewatch.platforms.kubernetes.faults import ApiError

T = TypeVar("T")
Json = dict[str, Any]

REAL = os.environ.get("GRADEWATCH_TEST_KUBECONFIG", "")
DEADLINE = 120.0 if REAL else 20.0
LIFE = "0123456789ab"
TELL_LIFE = f"echo $GRADEWATCH_INCARNATION/{LIFE} > /dev/termination-log"
RUN = ("sh", "-c", f"{TELL_LIFE}; trap 'exit 0' TERM; sleep 1000 & wait")
DOWNWARD = [
    {"name": "GRADEWATCH_TARGET", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    {"name": "GRADEWATCH_INCARNATION", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
]


@dataclass
class Plain:
    """Access to the stand-in: an address and a token."""

    server: str
    namespace: str = "default"
    bearer: str = "watch"

    def tls(self) -> None:
        return None

    def version(self) -> object:
        return None

    async def token(self) -> str:
        return self.bearer


class Cluster:
    """One namespace of it, in which each test has names of its own."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self.namespace = access.namespace
        self.admin = Api(access, timeout=10.0)
        self._made: list[str] = []

    def path(self, resource: str, name: str = "") -> str:
        group = {"pods": "/api/v1", "events": "/api/v1", "leases": "/apis/coordination.k8s.io/v1"}
        group |= {"poddisruptionbudgets": "/apis/policy/v1"}
        whole = f"{group.get(resource, '/apis/apps/v1')}/namespaces/{self.namespace}/{resource}"
        return f"{whole}/{name}" if name else whole

    async def deploy(
        self,
        *,
        replicas: int = 1,
        command: Sequence[str] = RUN,
        kind: str = "Deployment",
        image: str = "busybox:1.36",
        memory: str = "",
        grace: int = 2,
        name: str = "",
        **pod: Any,
    ) -> str:
        """A workload with one container; its name."""
        name = name or f"gw-{uuid.uuid4().hex[:8]}"
        labels = {"app": name}
        container = {"name": "worker", "image": image, "command": list(command), "env": DOWNWARD}
        if memory:
            container["resources"] = {"limits": {"memory": memory}}
        spec = {"containers": [container], "terminationGracePeriodSeconds": grace, **pod}
        body = {
            "apiVersion": "apps/v1",
            "kind": kind,
            "metadata": {"name": name, "labels": labels},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": spec},
                **({"serviceName": name} if kind == "StatefulSet" else {}),
            },
        }
        await self.make(f"{kind.lower()}s", body)
        return name

    async def make(self, resource: str, body: Json) -> Json:
        made = await self.admin.request("POST", self.path(resource), body=body)
        self._made.append(self.path(resource, made["metadata"]["name"]))
        return made

    async def change(self, resource: str, name: str, patch: Json) -> Json:
        return await self.admin.request("PATCH", self.path(resource, name), body=patch, content_type=MERGE_PATCH)

    async def delete(self, resource: str, name: str, **options: Any) -> None:
        body = {"apiVersion": "v1", "kind": "DeleteOptions", **options}
        await self.admin.request("DELETE", self.path(resource, name), body=body)

    async def pods(self, workload: str) -> list[Json]:
        return (await self.admin.get(self.path("pods"), {"labelSelector": f"app={workload}"}))["items"]

    async def running(self, workload: str, count: int = 1) -> list[Json]:
        """Wait until so many pods of it run, and no other is there."""

        async def there() -> list[Json] | None:
            pods = await self.pods(workload)
            up = [p for p in pods if is_ready(p) and not p["metadata"].get("deletionTimestamp")]
            settled = await self.settled(workload)
            return up if len(up) == len(pods) == count and settled else None

        return await until(there, f"{count} pods of {workload} run")

    async def settled(self, workload: str) -> bool:
        for resource in ("deployments", "statefulsets"):
            try:
                found = await self.admin.get(self.path(resource, workload))
            except ApiError:
                continue
            status, wanted = found.get("status", {}), found["spec"]["replicas"]
            return (
                status.get("observedGeneration") == found["metadata"]["generation"]
                and status.get("updatedReplicas", 0) == wanted == status.get("replicas", 0)
                and status.get("readyReplicas", 0) == wanted
            )
        return False

    async def events(self, about: str) -> list[Json]:
        """Those we told of this object, oldest first."""
        found = (await self.admin.get(self.path("events")))["items"]
        ours = [
            e for e in found if e["involvedObject"]["name"] == about and e["source"].get("component") == "gradewatch"
        ]
        return sorted(ours, key=lambda e: int(e["metadata"]["resourceVersion"]))

    def settings(self, deployment: str, *, remediation: Mapping[str, Any] | None = None, **platform: Any) -> Settings:
        plain = PlatformSettings(kind="kubernetes", deployment=deployment, timeout=5.0 if REAL else 2.0)
        return Settings(
            platform=replace(plain, lease=f"{deployment.rpartition('/')[2]}-watch", **platform),
            remediation=replace(RemediationSettings(start_grace=0.0), **(remediation or {})),
        )

    @asynccontextmanager
    async def platform(
        self, deployment: str, *, single: bool = False, quiet: float = 90.0, **changes: Any
    ) -> AsyncIterator[KubernetesPlatform]:
        made = KubernetesPlatform(
            self.settings(deployment, **changes), {}, access=self.access, single=single, quiet=quiet
        )
        await made.open()
        try:
            yield made
        finally:
            await made.close()

    async def clear(self) -> None:
        for path in reversed(self._made):
            try:
                await self.admin.request("DELETE", path, body={"propagationPolicy": "Background"})
            except ApiError as error:
                if error.status != 404:
                    raise
        await self.admin.close()


@dataclass
class StandIn(Cluster):
    """The stand-in, whose inside a test may reach into."""

    state: State = field(default_factory=State)
    faults: Faults = field(default_factory=Faults)

    tls: ssl.SSLContext | None = None
    environ: Mapping[str, str] = field(default_factory=dict)  # of every pod

    def __post_init__(self) -> None:
        self.server = ApiServer(self.state, self.faults, tls=self.tls)
        self.controllers = Controllers(self.state)
        self.kubelet = Kubelet(self.state, back_off=0.2, environ=self.environ)

    async def start(self, ours: Callable[[int], Access] | None = None) -> None:
        """`ours`: how to reach it at that port, where it is not by plain HTTP."""
        await self.server.start()
        super().__init__(ours(self.server.port) if ours else Plain(self.server.url))
        self.admin = Api(self.access if ours else self.as_("admin"), timeout=10.0)
        self.controllers.start()
        self.kubelet.start()

    async def clear(self) -> None:
        await self.admin.close()
        await self.controllers.stop()
        await self.kubelet.stop()
        await self.server.stop()

    def as_(self, bearer: str) -> Plain:
        return Plain(self.server.url, bearer=bearer)


@asynccontextmanager
async def stand_in() -> AsyncIterator[StandIn]:
    made = StandIn()
    await made.start()
    try:
        yield made
    finally:
        await made.clear()


@asynccontextmanager
async def some_cluster() -> AsyncIterator[Cluster]:
    """The real one where it is named, else the stand-in."""
    if not REAL:
        async with stand_in() as made:
            yield made
        return
    cluster = Cluster(Kubeconfig(PlatformSettings(kubeconfig=REAL), {}))
    try:
        yield cluster
    finally:
        await cluster.clear()


def is_ready(pod: Json) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod.get("status", {}).get("conditions") or [])


async def until(look: Callable[[], Awaitable[T | None] | T | None], what: str, *, within: float = DEADLINE) -> T:
    """What `look` gives as soon as it is true."""
    ends = time.monotonic() + within
    while True:
        found = look()
        if isinstance(found, Awaitable):
            found = await found
        if found:
            return found  # type: ignore[return-value]
        assert time.monotonic() < ends, f"not within {within:g} s: {what}"
        await asyncio.sleep(0.5 if REAL else 0.01)


async def target(platform: KubernetesPlatform, that: Callable[[Target], bool], what: str = "a target") -> Target:
    """The first target that is so, as soon as there is one."""

    async def seen() -> Target | None:
        return next((t for t in await platform.targets() if that(t)), None)

    return await until(seen, what)


def pod_up(t: Target) -> bool:
    return not t.whole and t.running
