"""What kube-controller-manager does: Deployments make ReplicaSets, which make pods; StatefulSets make pods by number;
what lost its owner goes. Each pass looks at everything and is run after every change, so it cannot miss one."""

from __future__ import annotations

import asyncio
import hashlib
import json
import uuid
from collections.abc import Iterator

from apiserver.resources import ready
from apiserver.selectors import selected
from apiserver.state import Change, Json, Refusal, State

PAUSE = 0.005  # seconds until a change is acted on: as many as come together are one pass


class Controllers:
    def __init__(self, state: State) -> None:
        self._state = state
        self._due = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        state.on_change.append(self._changed)

    def start(self) -> None:
        self._due.set()
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _changed(self, change: Change) -> None:
        if change.resource not in ("events", "leases"):
            self._due.set()

    async def _run(self) -> None:
        while True:
            await self._due.wait()
            await asyncio.sleep(PAUSE)
            self._due.clear()
            try:
                self.once()
            except Refusal:  # somebody was faster; the pass is run again
                self._due.set()

    def once(self) -> None:
        self._collect_garbage()
        for deployment in self._state.all("deployments"):
            self._deployment(deployment)
        for replica_set in self._state.all("replicasets"):
            self._replica_set(replica_set)
        for stateful_set in self._state.all("statefulsets"):
            self._stateful_set(stateful_set)

    # ---------------------------------------------------------------- garbage

    def _collect_garbage(self) -> None:
        owners = {
            o["metadata"]["uid"]
            for kind in ("deployments", "replicasets", "statefulsets")
            for o in self._state.all(kind)
        }
        for kind in ("replicasets", "pods"):
            for one in self._state.all(kind):
                references = one["metadata"].get("ownerReferences") or []
                if references and not any(r["uid"] in owners for r in references):
                    self._delete(kind, one)

    def _delete(self, kind: str, one: Json) -> None:
        """As a DELETE without options does."""
        from apiserver.faults import Faults
        from apiserver.resources import Resources

        meta = one["metadata"]
        if not meta.get("deletionTimestamp"):
            Resources(self._state, Faults()).act("delete", kind, meta["namespace"], meta["name"], "", {}, {})

    # ---------------------------------------------------------------- Deployments and ReplicaSets

    def _deployment(self, deployment: Json) -> None:
        meta, spec = deployment["metadata"], deployment["spec"]
        desired, digest = spec.get("replicas", 1), _digest(spec["template"])
        name = f"{meta['name']}-{digest}"
        sets = [s for s in self._state.all("replicasets", meta["namespace"]) if _owned(s, meta["uid"])]
        newest = next((s for s in sets if s["metadata"]["name"] == name), None)
        if newest is None and not spec.get("paused"):
            newest = self._state.create(
                "replicasets", meta["namespace"], _replica_set(deployment, name, digest, desired)
            )
            sets.append(newest)
        older = [s for s in sets if newest is None or s["metadata"]["name"] != newest["metadata"]["name"]]
        if newest is not None and newest["spec"]["replicas"] != desired:
            newest["spec"]["replicas"] = desired
            newest = self._state.update("replicasets", meta["namespace"], newest)
        if newest is not None and newest.get("status", {}).get("readyReplicas", 0) >= desired:
            for one in older:
                if one["spec"]["replicas"]:
                    one["spec"]["replicas"] = 0
                    self._state.update("replicasets", meta["namespace"], one)
        self._deployment_status(deployment, newest, sets)

    def _deployment_status(self, deployment: Json, newest: Json | None, sets: list[Json]) -> None:
        counts = [s.get("status", {}) for s in sets]
        ready_now = sum(c.get("readyReplicas", 0) for c in counts)
        updated = (newest or {}).get("status", {}).get("replicas", 0)
        status = {
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": sum(c.get("replicas", 0) for c in counts),
            "updatedReplicas": updated,
            "readyReplicas": ready_now,
            "availableReplicas": ready_now,
            "conditions": deployment.get("status", {}).get("conditions", []),
        }
        self._set_status("deployments", deployment, status)

    def _replica_set(self, one: Json) -> None:
        meta, spec = one["metadata"], one["spec"]
        pods = [p for p in self._pods_of(one) if not p["metadata"].get("deletionTimestamp")]
        alive = [p for p in pods if p["status"].get("phase") not in ("Failed", "Succeeded")]
        for _ in range(spec["replicas"] - len(alive)):
            name = f"{meta['name']}-{uuid.uuid4().hex[:5]}"
            self._state.create("pods", meta["namespace"], _pod(one, name, "ReplicaSet"))
        # Those that are not ready go first, as in the real one.
        for pod in sorted(alive, key=ready)[: max(0, len(alive) - spec["replicas"])]:
            self._delete("pods", pod)
        status = {
            "observedGeneration": meta["generation"],
            "replicas": len(alive),
            "readyReplicas": sum(ready(p) for p in alive),
        }
        self._set_status("replicasets", one, status)

    # ---------------------------------------------------------------- StatefulSets

    def _stateful_set(self, one: Json) -> None:
        meta, spec = one["metadata"], one["spec"]
        digest, desired = _digest(spec["template"]), spec.get("replicas", 1)
        revision = f"{meta['name']}-{digest}"
        pods = {p["metadata"]["name"]: p for p in self._pods_of(one)}
        for number in range(desired):
            name = f"{meta['name']}-{number}"
            pod = pods.get(name)
            if pod is None:
                made = _pod(one, name, "StatefulSet")
                made["metadata"]["labels"]["controller-revision-hash"] = revision
                pods[name] = self._state.create("pods", meta["namespace"], made)
            elif pod["status"].get("phase") in ("Failed", "Succeeded"):
                self._delete("pods", pod)
            if not ready(pods[name]):
                break  # OrderedReady: the next one waits for this one
            if pods[name]["metadata"]["labels"].get("controller-revision-hash") != revision:
                self._delete("pods", pods[name])
                break
        for name, pod in pods.items():
            if int(name.rpartition("-")[2]) >= desired:
                self._delete("pods", pod)
        current = [p for p in pods.values() if p["metadata"]["labels"].get("controller-revision-hash") == revision]
        done = len(current) == len(pods)
        status = {
            "observedGeneration": meta["generation"],
            "replicas": len(pods),
            "readyReplicas": sum(ready(p) for p in pods.values()),
            "updatedReplicas": len(current),
            "updateRevision": revision,
            "currentRevision": revision if done else one.get("status", {}).get("currentRevision", "none"),
        }
        self._set_status("statefulsets", one, status)

    def _pods_of(self, owner: Json) -> Iterator[Json]:
        for pod in self._state.all("pods", owner["metadata"]["namespace"]):
            if _owned(pod, owner["metadata"]["uid"]) and selected(pod, owner["spec"]["selector"]):
                yield pod

    def _set_status(self, kind: str, one: Json, status: Json) -> None:
        if one.get("status") != status:
            fresh = self._state.find(kind, one["metadata"]["namespace"], one["metadata"]["name"])
            if fresh is not None:
                self._state.update(kind, one["metadata"]["namespace"], {**fresh, "status": status}, status=True)


def _digest(template: Json) -> str:
    return hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:10]


def _owned(one: Json, uid: str) -> bool:
    return any(r["uid"] == uid and r.get("controller") for r in one["metadata"].get("ownerReferences") or [])


def _owner(owner: Json, kind: str) -> list[Json]:
    meta = owner["metadata"]
    reference = {"apiVersion": "apps/v1", "kind": kind, "name": meta["name"], "uid": meta["uid"]}
    return [{**reference, "controller": True, "blockOwnerDeletion": True}]


def _replica_set(deployment: Json, name: str, digest: str, replicas: int) -> Json:
    template = json.loads(json.dumps(deployment["spec"]["template"]))
    labels = {**template["metadata"].get("labels", {}), "pod-template-hash": digest}
    template["metadata"]["labels"] = labels
    return {
        "metadata": {"name": name, "labels": labels, "ownerReferences": _owner(deployment, "Deployment")},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
        "status": {},
    }


def _pod(owner: Json, name: str, kind: str) -> Json:
    template = json.loads(json.dumps(owner["spec"]["template"]))
    meta = template.get("metadata", {})
    return {
        "metadata": {
            "name": name,
            "labels": dict(meta.get("labels") or {}),
            "annotations": dict(meta.get("annotations") or {}),
            "ownerReferences": _owner(owner, kind),
        },
        "spec": template["spec"],
        "status": {"phase": "Pending"},
    }
