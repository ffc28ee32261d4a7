"""What etcd would hold: objects by kind, namespace and name, each change with a version, and a history to watch."""

from __future__ import annotations

import asyncio
import copy
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]
Key = tuple[str, str, str]  # resource, namespace, name

GENERATIONS = ("deployments", "statefulsets", "replicasets")  # kinds whose spec has a generation


class Refusal(Exception):
    """An error as the API server tells it: a Status object."""

    def __init__(self, code: int, reason: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code, self.reason, self.message, self.details = code, reason, message, details

    def status(self) -> Json:
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
            **({"details": self.details} if self.details else {}),
        }


@dataclass(frozen=True)
class Change:
    version: int
    kind: str  # ADDED | MODIFIED | DELETED
    resource: str
    namespace: str
    object: Json
    before: Json | None


def stamp() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class State:
    """`on_change` is called after each change, and each of `watchers` is set."""

    def __init__(self) -> None:
        self._objects: dict[Key, Json] = {}
        self.version = 1000
        self.history: deque[Change] = deque()
        self.compacted = 1000  # a watch from before this version is answered with 410
        self.watchers: set[asyncio.Event] = set()
        self.on_change: list[Callable[[Change], None]] = []

    def all(self, resource: str, namespace: str | None = None) -> list[Json]:
        """Copies, in the order of their names."""
        found = [o for (r, n, _), o in self._objects.items() if r == resource and namespace in (None, n)]
        return copy.deepcopy(sorted(found, key=lambda o: o["metadata"]["name"]))

    def find(self, resource: str, namespace: str, name: str) -> Json | None:
        return copy.deepcopy(self._objects.get((resource, namespace, name)))

    def get(self, resource: str, namespace: str, name: str) -> Json:
        found = self.find(resource, namespace, name)
        if found is None:
            raise Refusal(404, "NotFound", f'{resource} "{name}" not found', name=name, kind=resource)
        return found

    def create(self, resource: str, namespace: str, body: Json) -> Json:
        made = copy.deepcopy(body)
        meta = made.setdefault("metadata", {})
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = meta["generateName"] + uuid.uuid4().hex[:5]
        key = (resource, namespace, meta.get("name") or "")
        if not key[2]:
            raise Refusal(422, "Invalid", "metadata.name: Required value")
        if key in self._objects:
            raise Refusal(409, "AlreadyExists", f'{resource} "{key[2]}" already exists', name=key[2])
        meta |= {"namespace": namespace, "uid": str(uuid.uuid4()), "creationTimestamp": stamp()}
        if resource in GENERATIONS:
            meta["generation"] = 1
        return self._put(key, made, "ADDED")

    def update(self, resource: str, namespace: str, body: Json, *, status: bool = False) -> Json:
        """Guarded by the resource version in it, where there is one. `status`: as a controller writes its status."""
        name = (body.get("metadata") or {}).get("name") or ""
        was = self.get(resource, namespace, name)
        self.check(resource, was, body.get("metadata") or {})
        made = copy.deepcopy(body)
        meta = made["metadata"]
        for kept in ("uid", "creationTimestamp", "namespace", "generation", "deletionTimestamp"):
            if kept in was["metadata"]:
                meta[kept] = was["metadata"][kept]
        if resource in GENERATIONS and not status and made.get("spec") != was.get("spec"):
            meta["generation"] += 1
        if {**made, "metadata": {**meta, "resourceVersion": ""}} == {
            **was,
            "metadata": {**was["metadata"], "resourceVersion": ""},
        }:
            return was  # nothing changed: no new version
        return self._put((resource, namespace, name), made, "MODIFIED")

    @staticmethod
    def check(resource: str, was: Json, expected: Json) -> None:
        """Preconditions by uid and resource version."""
        meta, name = was["metadata"], was["metadata"]["name"]
        for key, word in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
            if expected.get(key) and expected[key] != meta[key]:
                failed = f"{word} in precondition: {expected[key]}, {word} in object meta: {meta[key]}"
                text = f'Operation cannot be fulfilled on {resource} "{name}": Precondition failed: {failed}'
                raise Refusal(409, "Conflict", text, name=name)

    def mark(self, resource: str, namespace: str, name: str, **meta: Any) -> Json:
        """Change an object's metadata as the server itself does, such as its deletionTimestamp."""
        was = self.get(resource, namespace, name)
        was["metadata"] |= meta
        return self._put((resource, namespace, name), was, "MODIFIED")

    def remove(self, resource: str, namespace: str, name: str) -> Json:
        key = (resource, namespace, name)
        was = self.get(*key)
        del self._objects[key]
        self.version += 1
        was["metadata"]["resourceVersion"] = str(self.version)
        self._tell(Change(self.version, "DELETED", resource, namespace, was, was))
        return was

    def compact(self) -> None:
        """Forget all history: every watch from an older version gets 410."""
        self.compacted = self.version + 1
        self.version += 1
        self.history.clear()

    def since(self, version: int) -> Iterator[Change]:
        return (change for change in list(self.history) if change.version > version)

    def _put(self, key: Key, made: Json, kind: str) -> Json:
        before = copy.deepcopy(self._objects.get(key))
        self.version += 1
        made["metadata"]["resourceVersion"] = str(self.version)
        self._objects[key] = made
        self._tell(Change(self.version, kind, key[0], key[1], copy.deepcopy(made), before))
        return copy.deepcopy(made)

    def _tell(self, change: Change) -> None:
        self.history.append(change)
        while len(self.history) > 20_000:
            self.compacted = self.history.popleft().version
        for listener in self.on_change:
            listener(change)
        for watcher in self.watchers:
            watcher.set()
