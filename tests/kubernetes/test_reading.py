"""What is read of objects of whatever shape: pods, workloads, quantities, times."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradewatch.errors import ConfigError
from gradewatch.model import ExitCause, ExitKind
from gradewatch.platforms.kubernetes.facts import container_cause, read_pod
from gradewatch.platforms.kubernetes.quantity import bytes_of, moment
from gradewatch.platforms.kubernetes.workload import place_of, read_workload


@pytest.mark.parametrize(
    ("quantity", "count"),
    [("512Mi", 512 << 20), ("1.5Gi", 3 << 29), ("128974848", 128974848), ("129e6", 129_000_000), ("2G", 2_000_000_000),
     ("500k", 500_000), ("1500m", 1), ("", 0), (None, 0), ("lots", 0), ("-1", 0), (64, 64)],
)  # fmt: skip
def test_quantities(quantity: object, count: int) -> None:
    assert bytes_of(quantity) == count


def test_times() -> None:
    assert moment("2026-03-02T09:00:00Z") == moment("2026-03-02T10:00:00+01:00") == 1_772_442_000.0
    assert moment("2026-03-02T09:00:00.250000Z") == 1_772_442_000.25
    assert moment(None) is None
    assert moment("yesterday") is None


@pytest.mark.parametrize(
    ("ended", "cause", "words"),
    [
        ({"exitCode": 0, "reason": "Completed"}, ExitKind.EXITED, "exited with code 0"),
        ({"exitCode": 3, "reason": "Error"}, ExitKind.EXITED, "exited with code 3"),
        ({"exitCode": 137, "reason": "Error"}, ExitKind.SIGNALLED, "killed by SIGKILL"),
        ({"exitCode": 139, "reason": "Error"}, ExitKind.SIGNALLED, "killed by SIGSEGV"),
        ({"exitCode": 0, "signal": 34}, ExitKind.SIGNALLED, "killed by signal 34"),
        ({"exitCode": 255, "reason": "Error"}, ExitKind.EXITED, "exited with code 255"),
        ({"exitCode": 137, "reason": "OOMKilled"}, ExitKind.OOM_KILLED, "more memory than its limit"),
        ({}, ExitKind.EXITED, "exited with code 0"),
    ],
)
def test_how_a_container_ended(ended: dict[str, Any], cause: ExitKind, words: str) -> None:
    found: ExitCause = container_cause(ended)
    assert found.kind is cause
    assert words in str(found)


def pod(state: dict[str, Any], **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"uid": "u", "name": "p", "annotations": {"kubectl.kubernetes.io/default-container": "worker"}},
        "spec": {
            "containers": [{"name": "proxy", "image": "p"}, {"name": "worker", "image": "w:1"}],
            "initContainers": [{"name": "init", "image": "i:1"}],
            "nodeName": "n1",
        },
        "status": {"phase": "Pending", "containerStatuses": [{"name": "worker", "state": state}], **status},
    }


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (pod({"waiting": {"reason": "ErrImagePull", "message": "denied"}}), "the image w:1 of worker cannot be pulled"),
        (
            pod({"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "keys" not found'}}),
            'the container worker cannot be made (CreateContainerConfigError): secret "keys" not found',
        ),
        (
            pod({}, initContainerStatuses=[{"name": "init", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]),
            "its init container init keeps failing",
        ),
        (
            pod({}, conditions=[{"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}]),
            "its node n1 does not answer",
        ),
        (pod({"waiting": {"reason": "ContainerCreating"}}), ""),
        (pod({"running": {"startedAt": "2026-03-02T09:00:00Z"}}), ""),
    ],
)
def test_what_keeps_it_from_starting(raw: dict[str, Any], problem: str) -> None:
    facts = read_pod(raw)
    assert facts.problem.startswith(problem)
    assert bool(facts.problem) == bool(problem) == bool(facts.fix)


def test_another_container_is_chosen_by_setting() -> None:
    raw = pod({"running": {}})
    assert read_pod(raw).running
    assert not read_pod(raw, "proxy").running


KEYS = [
    "metadata",
    "spec",
    "status",
    "containers",
    "containerStatuses",
    "state",
    "lastState",
    "waiting",
    "terminated",
    "running",
    "name",
    "uid",
    "replicas",
    "ownerReferences",
    "controller",
    "conditions",
    "type",
    "reason",
    "message",
    "selector",
    "matchLabels",
    "resources",
    "limits",
    "memory",
    "exitCode",
]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(KEYS),
        inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=150)
@given(st.dictionaries(st.sampled_from(["metadata", "spec", "status"]), ANYTHING))
def test_nothing_that_is_sent_breaks_the_reading(raw: dict[str, Any]) -> None:
    read_pod(raw)
    read_workload(raw)


@pytest.mark.parametrize(
    ("changes", "rolling"),
    [
        ({}, False),
        ({"observedGeneration": 1}, True),
        ({"updatedReplicas": 1}, True),
        ({"replicas": 3}, True),
        ({"updatedReplicas": 1, "conditions": [{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]}, False),
        ({"readyReplicas": 0}, False),
        ({"updatedReplicas": 0, "currentRevision": "a", "updateRevision": "a"}, False),
        ({"updatedReplicas": 0, "currentRevision": "a", "updateRevision": "b"}, True),
    ],
)
def test_a_rollout_in_progress(changes: dict[str, Any], rolling: bool) -> None:
    """Workers that are not ready are no rollout: a worker that hangs must not protect itself by that."""
    status = {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2} | changes
    raw = {"metadata": {"generation": 2}, "spec": {"replicas": 2}, "status": status}
    assert read_workload(raw).rolling is rolling


def test_a_selector_as_a_parameter() -> None:
    expressions = [
        {"key": "tier", "operator": "In", "values": ["a", "b"]},
        {"key": "old", "operator": "DoesNotExist"},
        {"key": "x", "operator": "Exists"},
        {"key": "y", "operator": "NotIn", "values": ["z"]},
    ]
    raw = {"spec": {"selector": {"matchLabels": {"app": "w"}, "matchExpressions": expressions}}}
    assert read_workload(raw).selector == "app=w,tier in (a,b),!old,x,y notin (z)"


def test_which_workload_a_setting_names() -> None:
    assert place_of("statefulset/w", "ns").path == "/apis/apps/v1/namespaces/ns/statefulsets/w"
    assert place_of("Deployment/w", "ns").kind == "Deployment"
    for wrong in ("daemonset/w", "a/b/c", "Upper", "w/"):
        with pytest.raises(ConfigError, match=r"platform\.deployment"):
            place_of(wrong, "ns")


def test_in_a_cluster_the_official_client_is_not_imported(tmp_path) -> None:
    for name in ("ca.crt", "token", "namespace"):
        (tmp_path / name).write_text("default")
    code = (
        "import sys; from gradewatch.app import make_platform\n"
        "from gradewatch.config import PlatformSettings, Settings\n"
        f"settings = Settings(platform=PlatformSettings(kind='kubernetes', service_account={str(tmp_path)!r}))\n"
        "made = make_platform(settings, {'KUBERNETES_SERVICE_HOST': '127.0.0.1'})\n"
        "print(made.kind, [m for m in sys.modules if m.split('.')[0] in ('kubernetes', 'urllib3', 'yaml')])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True).stdout
    assert told.strip() == "kubernetes []"
