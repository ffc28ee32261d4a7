"""What each verb does to one object, and the subresources: eviction, scale."""

from __future__ import annotations

from collections.abc import Mapping

from apiserver.faults import Faults
from apiserver.selectors import selected
from apiserver.state import Json, Refusal, State, stamp

MERGE = "application/merge-patch+json"
UNCONDITIONAL = ("deployments", "replicasets", "statefulsets", "pods", "events")  # a PUT without a version is allowed


class Resources:
    def __init__(self, state: State, faults: Faults) -> None:
        self._state, self._faults = state, faults

    def act(
        self, verb: str, resource: str, namespace: str, name: str, sub: str, body: Json, headers: Mapping[str, str]
    ) -> tuple[Json, int]:
        """The answer and its status. Raises Refusal."""
        if (resource, sub) == ("pods", "eviction") and verb == "create":
            return self._evict(namespace, name, body), 201
        if sub == "scale":
            return self._scale(verb, resource, namespace, name, body), 200
        if sub:
            raise Refusal(404, "NotFound", "the server could not find the requested resource")
        if verb == "get":
            return self._state.get(resource, namespace, name), 200
        if verb == "create":
            return self._state.create(resource, namespace, body), 201
        if verb == "update":
            return self._update(resource, namespace, name, body), 200
        if verb == "patch":
            return self._patch(resource, namespace, name, body, headers), 200
        return self._delete(resource, namespace, name, body), 200

    def _update(self, resource: str, namespace: str, name: str, body: Json) -> Json:
        meta = body.get("metadata") or {}
        if meta.get("name") != name:
            raise Refusal(400, "BadRequest", "the name of the object does not match the name on the URL")
        if not meta.get("resourceVersion") and resource not in UNCONDITIONAL:
            raise Refusal(422, "Invalid", "metadata.resourceVersion: must be specified for an update")
        return self._state.update(resource, namespace, body)

    def _patch(self, resource: str, namespace: str, name: str, patch: Json, headers: Mapping[str, str]) -> Json:
        if headers.get("Content-Type") != MERGE:
            raise Refusal(415, "UnsupportedMediaType", "this stand-in knows merge patches only")
        was = self._state.get(resource, namespace, name)
        self._state.check(resource, was, patch.get("metadata") or {})
        return self._state.update(resource, namespace, merged(was, patch))

    def _delete(self, resource: str, namespace: str, name: str, options: Json) -> Json:
        was = self._state.get(resource, namespace, name)
        self._state.check(resource, was, options.get("preconditions") or {})
        if resource != "pods":
            return self._state.remove(resource, namespace, name)
        grace = options.get("gracePeriodSeconds")
        if grace is None:
            grace = was["spec"].get("terminationGracePeriodSeconds", 30)
        if grace == 0 or not was["spec"].get("nodeName") or was["status"].get("phase") in ("Succeeded", "Failed"):
            return self._state.remove(resource, namespace, name)  # nobody has to stop it first
        if was["metadata"].get("deletionTimestamp"):
            return was
        return self._state.mark(resource, namespace, name, deletionTimestamp=stamp(), deletionGracePeriodSeconds=grace)

    def _evict(self, namespace: str, name: str, eviction: Json) -> Json:
        if not self._faults.evictions:
            raise Refusal(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
        pod = self._state.get("pods", namespace, name)
        options = eviction.get("deleteOptions") or {}
        self._state.check("pods", pod, options.get("preconditions") or {})
        if not pod["metadata"].get("deletionTimestamp") and pod["status"].get("phase") == "Running":
            self._budgets(namespace, pod)
        self._delete("pods", namespace, name, options)
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}

    def _budgets(self, namespace: str, pod: Json) -> None:
        for budget in self._state.all("poddisruptionbudgets", namespace):
            selector = budget["spec"].get("selector") or {}
            if not selected(pod, selector):
                continue
            matching = [p for p in self._state.all("pods", namespace) if selected(p, selector)]
            healthy = sum(ready(p) for p in matching)
            least = budget["spec"].get("minAvailable")
            if least is None:
                least = len(matching) - int(budget["spec"].get("maxUnavailable", 0))
            if healthy - 1 < int(least):
                name = budget["metadata"]["name"]
                causes = [
                    {"reason": "DisruptionBudget", "message": f"The disruption budget {name} needs {least} healthy"}
                ]
                text = "Cannot evict pod as it would violate the pod's disruption budget."
                raise Refusal(429, "TooManyRequests", text, causes=causes)

    def _scale(self, verb: str, resource: str, namespace: str, name: str, body: Json) -> Json:
        was = self._state.get(resource, namespace, name)
        if verb in ("patch", "update"):
            self._state.check(resource, was, body.get("metadata") or {})
            was["spec"]["replicas"] = int((body.get("spec") or {}).get("replicas", 0))
            was = self._state.update(resource, namespace, was)
        meta = {key: was["metadata"][key] for key in ("name", "namespace", "uid", "resourceVersion")}
        spec = {"replicas": was["spec"].get("replicas", 1)}
        return {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": meta, "spec": spec, "status": spec}


def ready(pod: Json) -> bool:
    conditions = pod.get("status", {}).get("conditions") or []
    there = not pod["metadata"].get("deletionTimestamp")
    return there and any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def merged(target: Json, patch: Json) -> Json:
    """RFC 7386."""
    result = dict(target)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            inner = result.get(key)
            result[key] = merged(inner if isinstance(inner, dict) else {}, value)
        else:
            result[key] = value
    return result
