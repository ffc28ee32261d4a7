"""What is seen of pods: how each lives and died, and what keeps it from starting."""

from __future__ import annotations

import pytest
from cluster_kit import LIFE, TELL_LIFE, Cluster, StandIn, pod_up, target, until

from gradewatch.model import ExitKind, Sight

pytestmark = pytest.mark.cluster


async def test_a_running_pod_and_its_deployment(cluster: Cluster) -> None:
    name = await cluster.deploy()
    [pod] = await cluster.running(name)
    async with cluster.platform(name) as platform:
        seen = await target(platform, pod_up)
        [whole] = [t for t in await platform.targets() if t.whole]
    assert (seen.name, seen.incarnation) == (pod["metadata"]["name"], pod["metadata"]["uid"])
    assert (seen.group, seen.subject) == (name, f"{name}/{seen.name}")
    assert (seen.wanted, seen.problem, seen.no_restart, seen.exits) == (True, "", "", ())
    assert (whole.name, whole.running, whole.problem) == (name, True, "")
    assert whole.incarnation.startswith((await cluster.admin.get(cluster.path("deployments", name)))["metadata"]["uid"])


async def test_a_life_within_a_pod_is_proved_over_by_its_termination_log(cluster: Cluster) -> None:
    """The container starts again in the same pod: only the life that ended has ended."""
    name = await cluster.deploy(command=("sh", "-c", f"{TELL_LIFE}; sleep 1; exit 3"))
    async with cluster.platform(name) as platform:
        died = await target(platform, lambda t: bool(t.exits), "a container died")
        assert f"{died.incarnation}/{LIFE}" in died.ended_incarnations
        assert died.incarnation not in died.ended_incarnations
        assert (died.exits[0].cause.kind, died.exits[0].cause.status) in (
            (ExitKind.EXITED, 3),
            (ExitKind.CRASH_LOOP, 3),
        )
        looping = await target(
            platform, lambda t: bool(t.last_exit and t.last_exit.kind is ExitKind.CRASH_LOOP), "it is in back-off"
        )
    assert "CrashLoopBackOff" in str(looping.last_exit)
    assert "exited with code 3" in str(looping.last_exit)
    assert looping.no_restart == "Kubernetes itself starts its container again"


async def test_a_deleted_pod_is_over_and_another_takes_its_place(cluster: Cluster) -> None:
    name = await cluster.deploy()
    [pod] = await cluster.running(name)
    async with cluster.platform(name) as platform:
        woken = []
        platform.on_event(lambda: woken.append(True))
        await target(platform, pod_up)
        woken.clear()
        await cluster.delete("pods", pod["metadata"]["name"])
        gone = await target(platform, lambda t: pod["metadata"]["uid"] in t.ended_incarnations, "the pod is over")
        assert woken, "its end wakes the watch"
        assert not gone.running
        assert not gone.wanted
        other = await target(platform, pod_up)
        assert other.incarnation != gone.incarnation


async def test_memory(cluster: Cluster) -> None:
    name = await cluster.deploy(command=("tail", "/dev/zero"), memory="32Mi")
    async with cluster.platform(name) as platform:
        killed = await target(
            platform, lambda t: bool(t.exits and t.exits[-1].cause.kind is ExitKind.OOM_KILLED), "it is OOMKilled"
        )
        assert killed.memory_limit == 32 << 20
        refused = await target(platform, lambda t: "raise its limit" in t.no_restart, "no restart cures that")
    assert not refused.whole


@pytest.mark.parametrize(
    ("pod", "problem", "fix"),
    [
        ({"image": "registry.invalid/none:1"}, "cannot be pulled (", "imagePullSecrets"),
        ({"nodeSelector": {"gradewatch.test/no-such-node": "true"}}, "no node can take it: ", "Add a node"),
    ],
)
async def test_what_keeps_a_pod_from_starting(cluster: Cluster, pod: dict, problem: str, fix: str) -> None:
    name = await cluster.deploy(**pod)
    async with cluster.platform(name) as platform:
        stuck = await target(platform, lambda t: not t.whole and bool(t.problem), "a problem is seen")
    assert problem in stuck.problem
    assert fix in stuck.fix
    assert (stuck.running, stuck.wanted) == (False, True)
    assert stuck.no_restart == "it cannot start, which no restart cures"


async def test_a_deployment_that_is_not_there_and_one_without_replicas(cluster: Cluster) -> None:
    async with cluster.platform("gw-none") as platform:
        absent = await target(platform, lambda t: t.whole)
        assert absent.problem == f"the Deployment gw-none does not exist in namespace {cluster.namespace}"
        assert (absent.running, absent.wanted, absent.incarnation) == (False, True, "")
        assert absent.sight is Sight.NONE, "a wrong name proves nothing of workers that run elsewhere"
        await cluster.deploy(replicas=0, name="gw-none")
        idle = await target(platform, lambda t: t.whole and "0 replicas" in t.problem, "it appears")
        assert (idle.running, idle.wanted) == (False, False)
        assert idle.no_restart == "it is scaled to 0, and platform.scale_up is off"
        await cluster.change("deployments", "gw-none", {"spec": {"replicas": 1}})
        await target(platform, pod_up, "its pods are found by its own selector")


async def test_pods_of_another_owner_are_no_targets(cluster: Cluster) -> None:
    """A second Deployment with labels that this one's selector would take."""
    name = await cluster.deploy()
    body = {"metadata": {"name": f"{name}-bare", "labels": {"app": name}}, "spec": {"containers": [
        {"name": "worker", "image": "busybox:1.36", "command": ["sleep", "1000"]}]}}  # fmt: skip
    async with cluster.platform(name, selector=f"app={name}") as platform:
        await target(platform, pod_up)
        await cluster.make("pods", {"apiVersion": "v1", "kind": "Pod", **body, "status": {"phase": "Pending"}})
        await until(lambda: platform._roster.named(f"{name}-bare"), "the other pod is seen")
        assert f"{name}-bare" not in {t.name for t in await platform.targets()}


async def test_a_stateful_pod_made_again_under_its_name_is_another_one(cluster: Cluster) -> None:
    name = await cluster.deploy(kind="StatefulSet")
    [pod] = await cluster.running(name)
    async with cluster.platform(f"statefulset/{name}") as platform:
        first = await target(platform, pod_up)
        assert first.incarnation == pod["metadata"]["uid"]
        await cluster.delete("pods", f"{name}-0")
        second = await target(platform, lambda t: pod_up(t) and t.incarnation != first.incarnation, "it is back")
        lives = {t.incarnation: t for t in await platform.targets() if not t.whole}
    assert second.name == first.name == f"{name}-0"
    assert first.incarnation in lives[first.incarnation].ended_incarnations
    assert lives[second.incarnation].ended_incarnations == ()


async def test_a_pod_that_lost_its_label_is_not_gone(cluster: Cluster) -> None:
    """As people do to look into one: its worker goes on, and nobody may take that for its end."""
    name = await cluster.deploy()
    [pod] = await cluster.running(name)
    uid = pod["metadata"]["uid"]
    async with cluster.platform(name) as platform:
        await target(platform, pod_up)
        await cluster.change("pods", pod["metadata"]["name"], {"metadata": {"labels": {"app": "debug"}}})
        await target(platform, lambda t: pod_up(t) and t.incarnation != uid, "another takes its place")
        await until(lambda: not platform._roster.missing, "it was looked for")
        assert uid not in {life for t in await platform.targets() for life in t.ended_incarnations}
        await cluster.delete("pods", pod["metadata"]["name"], gracePeriodSeconds=0)


async def test_an_evicted_pod_says_why(standin: StandIn) -> None:
    name = await standin.deploy()
    [pod] = await standin.running(name)
    async with standin.platform(name) as platform:
        await target(platform, pod_up)
        standin.kubelet.evict(pod["metadata"]["name"], "The node was low on resource: memory.")
        over = await target(platform, lambda t: pod["metadata"]["uid"] in t.ended_incarnations, "it is over")
    assert not over.wanted
    assert over.last_exit is not None
    assert (over.last_exit.kind, str(over.last_exit)) == (
        ExitKind.EVICTED,
        "Evicted: The node was low on resource: memory.",
    )
