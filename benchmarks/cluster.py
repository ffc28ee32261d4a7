"""The tests' stand-in for an API server in a thread of its own, over TLS, with a Deployment of many pods; and the
environment in which a watch takes it for the cluster it is in."""

from __future__ import annotations

import asyncio
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.world import ROOT

sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "kubernetes")]

from apiserver import ApiServer, Faults, State  # noqa: E402
from authority import Authority  # noqa: E402

T = TypeVar("T")

NAME, HASH = "gradewatch-worker", "6d5f9c7b8d"
LABELS = {"app": NAME, "pod-template-hash": HASH}
FIELDS = ("phase", "conditions", "containerStatuses", "hostIP", "podIP", "qosClass", "startTime")


class Cluster:
    """One Deployment, its ReplicaSet, and running pods of the size that real ones have (some 7 KB)."""

    def __init__(self, folder: Path, pods: int) -> None:
        self.state, self.faults = State(), Faults(bookmarks=60.0)
        authority = Authority(folder)
        self.account = authority.service_account("bench")
        self._server = ApiServer(self.state, self.faults, tls=authority.serve())
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._fill(pods)

    def start(self) -> None:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._server.start(), self._loop).result(10)
        self.port = self._server.port

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._server.stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def do(self, what: Callable[[], T]) -> T:
        """In the server's own thread."""

        async def done() -> T:
            return what()

        return asyncio.run_coroutine_threadsafe(done(), self._loop).result(10)

    def pods(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.do(lambda: self.state.all("pods"))
        return found

    def asked(self) -> Counter[tuple[str, str]]:
        """Requests so far, by verb and resource."""
        return self.do(lambda: Counter(self.faults.seen))

    @property
    def settings(self) -> str:
        return f'[platform]\nkind = "kubernetes"\nservice_account = "{self.account}"\n'

    @property
    def environ(self) -> dict[str, str]:
        return {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(self.port)}

    def _fill(self, pods: int) -> None:
        deployment = self.state.create("deployments", "default", _deployment(pods))
        owner = _owner("Deployment", deployment)
        meta = {"name": f"{NAME}-{HASH}", "labels": LABELS, "ownerReferences": owner}
        spec = {"replicas": pods, "selector": {"matchLabels": LABELS}}
        replica_set = self.state.create("replicasets", "default", {"metadata": meta, "spec": spec, "status": {}})
        for number in range(pods):
            self.state.create("pods", "default", _pod(number, _owner("ReplicaSet", replica_set)))
        lease = {"metadata": {"name": "gradewatch-watch"}, "spec": {"holderIdentity": "", "leaseTransitions": 1}}
        self.state.create("leases", "default", lease)


@contextmanager
def cluster(folder: Path, pods: int) -> Iterator[Cluster]:
    made = Cluster(folder, pods)
    made.start()
    try:
        yield made
    finally:
        made.stop()


def _owner(kind: str, of: dict[str, Any]) -> list[dict[str, Any]]:
    meta = of["metadata"]
    reference = {"apiVersion": "apps/v1", "kind": kind, "name": meta["name"], "uid": meta["uid"]}
    return [{**reference, "controller": True, "blockOwnerDeletion": True}]


def _deployment(pods: int) -> dict[str, Any]:
    counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), pods)
    return {
        "metadata": {"name": NAME},
        "spec": {"replicas": pods, "selector": {"matchLabels": {"app": NAME}}, "template": {}},
        "status": {"observedGeneration": 1, **counts},
    }


def _pod(number: int, owner: list[dict[str, Any]]) -> dict[str, Any]:
    started = "2026-11-25T08:00:00Z"
    names = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    conditions = [{"type": n, "status": "True", "lastProbeTime": None, "lastTransitionTime": started} for n in names]
    digest = uuid.uuid4().hex * 2
    env = [{"name": f"GRADEWATCH_SETTING_{n}", "value": "some value of a usual length"} for n in range(12)]
    probe = {"httpGet": {"path": "/livez", "port": 9465, "scheme": "HTTP"}, "periodSeconds": 10, "timeoutSeconds": 1}
    container = {
        "name": "worker",
        "image": f"registry.example/gradewatch@sha256:{digest}",
        "args": ["worker"],
        "env": env,
        "resources": {"limits": {"memory": "512Mi"}, "requests": {"cpu": "250m", "memory": "256Mi"}},
        "livenessProbe": probe,
        "readinessProbe": probe,
        "volumeMounts": [{"name": "kube-api-access", "readOnly": True, "mountPath": "/var/run/secrets"}],
        "terminationMessagePath": "/dev/termination-log",
    }
    told = {
        "name": "worker",
        "state": {"running": {"startedAt": started}},
        "lastState": {},
        "ready": True,
        "restartCount": 0,
        "image": container["image"],
        "imageID": container["image"],
        "containerID": f"containerd://{digest}",
        "started": True,
    }
    managed: dict[str, Any] = {
        f'k:{{"type":"{n}"}}': {".": {}, "f:status": {}, "f:lastTransitionTime": {}} for n in names
    }
    fields = {"f:status": {f"f:{name}": managed for name in FIELDS}}
    meta = {
        "name": f"{NAME}-{HASH}-{number:05d}",
        "generateName": f"{NAME}-{HASH}-",
        "labels": LABELS,
        "ownerReferences": owner,
        "managedFields": [{"manager": "kubelet", "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": fields}],
    }
    status = {"phase": "Running", "conditions": conditions, "containerStatuses": [told], "podIP": "10.1.2.3"}
    spec = {"containers": [container], "nodeName": "node-17", "serviceAccountName": "gradewatch-worker"}
    return {"metadata": meta, "spec": {**spec, "terminationGracePeriodSeconds": 60}, "status": status}
