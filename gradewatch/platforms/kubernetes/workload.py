"""The Deployment or StatefulSet whose pods the workers are: where it is found, and what is read of it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gradewatch.errors import ConfigError
from gradewatch.platforms.kubernetes.shapes import Json, number, part, parts

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_OPERATORS = {
    "In": "{key} in ({values})",
    "NotIn": "{key} notin ({values})",
    "Exists": "{key}",
    "DoesNotExist": "!{key}",
}


@dataclass(frozen=True, slots=True)
class Place:
    """A workload by name. `kind` is "Deployment" or "StatefulSet"."""

    kind: str
    name: str
    namespace: str

    @property
    def resource(self) -> str:
        return f"{self.kind.lower()}s"

    @property
    def collection(self) -> str:
        return f"/apis/apps/v1/namespaces/{self.namespace}/{self.resource}"

    @property
    def path(self) -> str:
        return f"{self.collection}/{self.name}"

    @property
    def pods(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/pods"

    def replica_set(self, name: str) -> str:
        return f"/apis/apps/v1/namespaces/{self.namespace}/replicasets/{name}"


def place_of(setting: str, namespace: str) -> Place:
    """The workload that `platform.deployment` names. Raises ConfigError."""
    kind, _, name = setting.rpartition("/")
    known = {"": "Deployment", "deployment": "Deployment", "statefulset": "StatefulSet"}.get(kind.lower())
    if known is None or not _NAME.fullmatch(name):
        raise ConfigError(
            [f'platform.deployment holds "{setting}": a Deployment\'s name is needed, or statefulset/NAME']
        )
    return Place(known, name, namespace)


@dataclass(frozen=True, slots=True)
class WorkloadFacts:
    uid: str
    version: str
    generation: int
    observed: int  # the generation that its controller has seen
    desired: int
    ready: int
    updated: int
    total: int
    selector: str
    paused: bool
    waits_for: int  # pods that an update in progress still has to make
    stalled: bool  # its rollout has passed its deadline

    @property
    def incarnation(self) -> str:
        """Changes with every change of its specification, a rollout among them."""
        return f"{self.uid}@{self.generation}"

    @property
    def rolling(self) -> bool:
        """A rollout is in progress: pods come and go on purpose. One that has passed its deadline is stuck, which is
        another thing."""
        if self.observed < self.generation:
            return True
        return not self.stalled and (self.waits_for > 0 or self.total > max(self.updated, self.desired))


def read_workload(raw: Json) -> WorkloadFacts:
    """Of a Deployment or a StatefulSet, as the API server gives it."""
    meta, spec, status = part(raw, "metadata"), part(raw, "spec"), part(raw, "status")
    desired = spec.get("replicas")
    desired = desired if isinstance(desired, int) else 1
    updated = number(status, "updatedReplicas")
    return WorkloadFacts(
        uid=str(meta.get("uid") or ""),
        version=str(meta.get("resourceVersion") or ""),
        generation=number(meta, "generation"),
        observed=number(status, "observedGeneration"),
        desired=desired,
        ready=number(status, "readyReplicas"),
        updated=updated,
        total=number(status, "replicas"),
        selector=selector_text(part(spec, "selector")),
        paused=spec.get("paused") is True,
        waits_for=_waits_for(spec, status, desired, updated),
        stalled=_stalled(status),
    )


def selector_text(selector: Json) -> str:
    """A label selector as a query's parameter; empty for none, which selects nothing here."""
    wanted = [f"{key}={value}" for key, value in part(selector, "matchLabels").items()]
    for expression in parts(selector, "matchExpressions"):
        words = _OPERATORS.get(str(expression.get("operator")), "{key}")
        wanted.append(
            words.format(key=expression.get("key"), values=",".join(map(str, expression.get("values") or ())))
        )
    return ",".join(wanted)


def _waits_for(spec: Json, status: Json, desired: int, updated: int) -> int:
    strategy = part(spec, "updateStrategy")  # of a StatefulSet
    if strategy.get("type") == "OnDelete" or _settled(status):
        return 0
    held = number(part(strategy, "rollingUpdate"), "partition")
    return max(0, desired - held - updated)


def _settled(status: Json) -> bool:
    """A StatefulSet counts no updated pods once its update is done: its two revisions are then the same."""
    return bool(status.get("updateRevision")) and status.get("updateRevision") == status.get("currentRevision")


def _stalled(status: Json) -> bool:
    return any(
        c.get("type") == "Progressing" and c.get("reason") == "ProgressDeadlineExceeded"
        for c in parts(status, "conditions")
    )
