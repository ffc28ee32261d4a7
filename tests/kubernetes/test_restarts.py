"""A worker restarted: evicted, else deleted, the whole workload, or from none to one; and all that forbids it."""

from __future__ import annotations

import asyncio

import pytest
from cluster_kit import Cluster, StandIn, pod_up, target, until

from gradewatch.errors import Conflict, NotNow, PlatformError
from gradewatch.model import Target
from gradewatch.platforms.kubernetes import KubernetesPlatform

cluster_too = pytest.mark.cluster


async def whole(platform: KubernetesPlatform) -> Target:
    return await target(platform, lambda t: t.whole)


async def one_up(cluster: Cluster, platform: KubernetesPlatform, name: str) -> Target:
    await cluster.running(name)
    return await target(platform, pod_up)


@cluster_too
async def test_a_pod_is_evicted_and_replaced(cluster: Cluster) -> None:
    name = await cluster.deploy()
    async with cluster.platform(name) as platform:
        one = await one_up(cluster, platform, name)
        assert await platform.restart(one.subject, one.incarnation) == (
            f"evicted {one.name}: its Deployment puts another in its place"
        )
        other = await target(platform, lambda t: pod_up(t) and t.incarnation != one.incarnation, "another comes")
    assert other.name != one.name


@cluster_too
async def test_another_life_is_not_touched(cluster: Cluster) -> None:
    """A StatefulSet's pod comes back under its name: what was decided on the old one must not hit the new one."""
    name = await cluster.deploy(kind="StatefulSet")
    async with cluster.platform(f"statefulset/{name}") as platform:
        old = await one_up(cluster, platform, name)
        await cluster.delete("pods", old.name)
        new = await target(platform, lambda t: pod_up(t) and t.incarnation != old.incarnation, "it is back")
        with pytest.raises(Conflict, match="somebody else was faster"):
            await platform.restart(old.subject, old.incarnation)
        with pytest.raises(Conflict, match="somebody else was faster"):
            await platform.restart(f"{name}/gone", "no-such-uid")
        [there] = await cluster.pods(name)
    assert there["metadata"]["uid"] == new.incarnation
    assert "deletionTimestamp" not in there["metadata"]


@cluster_too
async def test_a_disruption_budget_means_wait_and_not_a_storm(cluster: Cluster) -> None:
    name = await cluster.deploy()
    async with cluster.platform(name) as platform:
        one = await one_up(cluster, platform, name)
        budget = {"minAvailable": 1, "selector": {"matchLabels": {"app": name}}}
        body = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name}, "spec": budget}
        made = await cluster.make("poddisruptionbudgets", body)
        if "status" in made or not isinstance(cluster, StandIn):
            await until(lambda: _observed(cluster, name), "the budget is in force")
        with pytest.raises(NotNow, match="disruption budget"):
            await platform.restart(one.subject, one.incarnation)
        held = await target(platform, pod_up)
        assert "disruption budget" in held.no_restart, "the watch is told, and does not ask again in its next cycle"
        with pytest.raises(NotNow):
            await platform.restart(one.subject, one.incarnation)
        if isinstance(cluster, StandIn):
            assert cluster.faults.seen["create", "pods/eviction"] == 1
        [there] = await cluster.pods(name)
    assert there["metadata"]["uid"] == one.incarnation
    assert "deletionTimestamp" not in there["metadata"]


async def _observed(cluster: Cluster, name: str) -> bool:
    found = await cluster.admin.get(cluster.path("poddisruptionbudgets", name))
    return "observedGeneration" in (found.get("status") or {})


@cluster_too
async def test_a_whole_deployment_is_rolled_out_and_nothing_is_touched_meanwhile(cluster: Cluster) -> None:
    name = await cluster.deploy(replicas=2)
    async with cluster.platform(name) as platform:
        before = {p["metadata"]["uid"] for p in await cluster.running(name, 2)}
        first = await target(platform, pod_up)
        all_of_it = await target(platform, lambda t: t.whole and not t.no_restart, "no rollout is in progress")
        assert await platform.restart(name, all_of_it.incarnation) == (
            f"rolled out {name} anew: every pod of it is replaced"
        )
        with pytest.raises(Conflict, match="was changed since it was read"):
            await platform.restart(name, all_of_it.incarnation)
        with pytest.raises((NotNow, Conflict)):
            await platform.restart(first.subject, first.incarnation)
        after = {p["metadata"]["uid"] for p in await cluster.running(name, 2)}
    assert before.isdisjoint(after)
    template = (await cluster.admin.get(cluster.path("deployments", name)))["spec"]["template"]
    assert "kubectl.kubernetes.io/restartedAt" in template["metadata"]["annotations"]


@cluster_too
async def test_from_none_to_one_only_by_setting(cluster: Cluster) -> None:
    name = await cluster.deploy(replicas=0)
    async with cluster.platform(name) as platform:
        idle = await whole(platform)
        with pytest.raises(PlatformError, match=r"platform\.scale_up is off"):
            await platform.restart(name, idle.incarnation)
    async with cluster.platform(name, scale_up=True) as platform:
        idle = await whole(platform)
        assert idle.no_restart == ""
        assert await platform.restart(name, idle.incarnation) == f"scaled {name} from 0 to 1"
        await cluster.running(name)
        with pytest.raises(Conflict):
            await platform.restart(name, idle.incarnation)


@cluster_too
async def test_a_pod_younger_than_the_start_grace_is_left_alone(cluster: Cluster) -> None:
    name = await cluster.deploy()
    async with cluster.platform(name, remediation={"start_grace": 3600.0}) as platform:
        one = await one_up(cluster, platform, name)
        with pytest.raises(NotNow, match="younger than"):
            await platform.restart(one.subject, one.incarnation)
        assert len(await cluster.pods(name)) == 1


@cluster_too
async def test_a_pod_of_another_deployment_is_left_alone(cluster: Cluster) -> None:
    ours, other = await cluster.deploy(), await cluster.deploy()
    [pod] = await cluster.running(other)
    async with cluster.platform(ours) as platform:
        await one_up(cluster, platform, ours)
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        for subject in (f"{ours}/{name}", f"{other}/{name}"):
            with pytest.raises(PlatformError, match="left alone"):
                await platform.restart(subject, uid)
    [there] = await cluster.pods(other)
    assert "deletionTimestamp" not in there["metadata"]


# ---------------------------------------------------------------- what only the stand-in does


async def test_where_evictions_are_not_allowed_it_is_deleted(standin: StandIn) -> None:
    name = await standin.deploy()
    standin.faults.denied.add(("create", "pods/eviction"))
    async with standin.platform(name) as platform:
        one = await one_up(standin, platform, name)
        assert (await platform.restart(one.subject, one.incarnation)).startswith(f"deleted {one.name}")


async def test_a_server_without_evictions(standin: StandIn) -> None:
    name = await standin.deploy()
    standin.faults.evictions = False
    async with standin.platform(name) as platform:
        one = await one_up(standin, platform, name)
        assert (await platform.restart(one.subject, one.incarnation)).startswith(f"deleted {one.name}")


@pytest.mark.parametrize(
    ("denied", "words"),
    [
        ({("create", "pods/eviction"), ("delete", "pods")}, "cannot delete"),
        ({("get", "pods")}, "cannot get"),
        ({("get", "replicasets")}, "Whose pod"),
        ({("get", "deployments")}, "cannot get"),
    ],
)
async def test_without_a_right_nothing_is_touched(standin: StandIn, denied: set, words: str) -> None:
    name = await standin.deploy()
    [pod] = await standin.running(name)
    async with standin.platform(name) as platform:
        await target(platform, pod_up)
        standin.faults.denied |= denied
        with pytest.raises(PlatformError, match=words):
            await platform.restart(f"{name}/{pod['metadata']['name']}", pod["metadata"]["uid"])
    [there] = await standin.pods(name)
    assert "deletionTimestamp" not in there["metadata"]


async def test_without_the_right_to_patch_it_is_not_rolled_out(standin: StandIn) -> None:
    name = await standin.deploy()
    async with standin.platform(name) as platform:
        await one_up(standin, platform, name)
        all_of_it = await target(platform, lambda t: t.whole and not t.no_restart)
        standin.faults.denied.add(("patch", "deployments"))
        with pytest.raises(PlatformError, match="cannot patch"):
            await platform.restart(name, all_of_it.incarnation)


@pytest.mark.parametrize("verb", ["get", "patch"])
async def test_without_the_right_to_scale_it_stays_at_none(standin: StandIn, verb: str) -> None:
    name = await standin.deploy(replicas=0)
    standin.faults.denied.add((verb, "deployments/scale"))
    async with standin.platform(name, scale_up=True) as platform:
        idle = await whole(platform)
        with pytest.raises(PlatformError, match=f"cannot {verb}"):
            await platform.restart(name, idle.incarnation)
    assert standin.state.get("deployments", "default", name)["spec"]["replicas"] == 0


async def test_a_pod_whose_owner_cannot_be_read_is_seen_and_left_alone(standin: StandIn) -> None:
    name = await standin.deploy()
    await standin.running(name)
    standin.faults.denied.add(("get", "replicasets"))
    async with standin.platform(name) as platform:
        one = await target(platform, pod_up)
        assert one.no_restart == "whose pod it is could not be read, so it is left alone"


async def test_a_paused_deployment_is_not_rolled_out(standin: StandIn) -> None:
    name = await standin.deploy()
    async with standin.platform(name) as platform:
        await one_up(standin, platform, name)
        await standin.change("deployments", name, {"spec": {"paused": True}})
        paused = await target(platform, lambda t: t.whole and "paused" in t.no_restart, "it is paused")
        with pytest.raises(PlatformError, match="is paused"):
            await platform.restart(name, paused.incarnation)


@pytest.mark.parametrize(("status", "kind"), [(429, NotNow), (503, NotNow), (500, PlatformError), (502, PlatformError)])
async def test_what_the_server_answers_to_an_eviction(standin: StandIn, status: int, kind: type) -> None:
    name = await standin.deploy()
    async with standin.platform(name) as platform:
        one = await one_up(standin, platform, name)
        with standin.faults.rule(status, verb="create", resource="pods/eviction"), pytest.raises(kind):
            await platform.restart(one.subject, one.incarnation)
        assert standin.faults.seen["create", "pods/eviction"] == 1
        assert standin.faults.seen["delete", "pods"] == 0, "never deleted where an eviction was refused"


async def test_an_eviction_whose_answer_is_lost_is_asked_once(standin: StandIn) -> None:
    name = await standin.deploy()
    async with standin.platform(name) as platform:
        one = await one_up(standin, platform, name)
        with standin.faults.rule("after", verb="create", resource="pods/eviction"), pytest.raises(PlatformError):
            await platform.restart(one.subject, one.incarnation)
        await target(platform, lambda t: pod_up(t) and t.incarnation != one.incarnation, "it was done all the same")
        with pytest.raises(Conflict):
            await platform.restart(one.subject, one.incarnation)
    assert standin.faults.seen["create", "pods/eviction"] == 1


async def test_a_hanging_server_costs_its_deadline_and_no_more(standin: StandIn) -> None:
    name = await standin.deploy()
    async with standin.platform(name, timeout=0.3) as platform:
        one = await one_up(standin, platform, name)
        with standin.faults.rule("hang", verb="get", resource="pods"):
            began = asyncio.get_running_loop().time()
            with pytest.raises(PlatformError, match=r"did not answer .* within 0\.3 s"):
                await platform.restart(one.subject, one.incarnation)
            assert asyncio.get_running_loop().time() - began < 2.0
