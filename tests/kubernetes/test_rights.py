"""Rights: each that is missing is named, and is all that does not work."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest
from cluster_kit import Cluster, StandIn

from gradewatch.errors import PlatformError
from gradewatch.platforms.kubernetes.rights import needs
from gradewatch.platforms.kubernetes.workload import Place

PLACE = Place("Deployment", "w", "default")
NEEDED = sorted(
    {
        (n.verb, f"{n.resource}/{n.subresource}" if n.subresource else n.resource)
        for n in needs(PLACE, "l", scale_up=True)
    }
)


@pytest.mark.cluster
async def test_who_administers_the_cluster_has_them_all(cluster: Cluster) -> None:
    async with cluster.platform("gw-none", scale_up=True) as platform:
        rights = await platform.rights()
    assert len(rights) == 17
    assert [r for r in rights if not r.allowed] == []


@pytest.mark.parametrize(("verb", "resource"), NEEDED)
async def test_each_missing_right_is_named(standin: StandIn, verb: str, resource: str) -> None:
    standin.faults.denied.add((verb, resource))
    async with standin.platform("w", scale_up=True) as platform:
        missing = [r for r in await platform.rights() if not r.allowed]
    assert {(r.verb, r.resource.partition(".")[0]) for r in missing} == {(verb, resource)}
    assert all(r.why and f"Add {verb} on {r.resource}" in r.fix and "namespace default" in r.scope for r in missing)


async def test_without_scale_up_and_for_a_stateful_set_fewer_are_needed(standin: StandIn) -> None:
    async with standin.platform("statefulset/w") as platform:
        asked = {r.resource for r in await platform.rights()}
    assert "statefulsets.apps" in asked
    assert asked.isdisjoint({"replicasets.apps", "deployments.apps", "deployments/scale"})


async def test_where_it_cannot_be_asked(standin: StandIn) -> None:
    async with standin.platform("w") as platform:
        with standin.faults.rule(403, resource="selfsubjectaccessreviews"), pytest.raises(PlatformError, match="403"):
            await platform.rights()


async def doctor(standin: StandIn, folder: Path, *args: str) -> tuple[int, str]:
    """The real command, by a kubeconfig."""
    (folder / "kubeconfig").write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "c", "cluster": {"server": standin.server.url}}],
                "users": [{"name": "u", "user": {"token": "watch"}}],
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "default"}}],
                "current-context": "x",
            }
        )
    )
    settings = '[platform]\nkind = "kubernetes"\ndeployment = "w"\nkubeconfig = "kubeconfig"\n'
    (folder / "gradewatch.toml").write_text(settings)
    command = [sys.executable, "-m", "gradewatch", *args]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, cwd=folder, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
    told, _ = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, told.decode()


async def test_doctor_names_what_is_missing(standin: StandIn, tmp_path: Path) -> None:
    await standin.deploy(name="w")
    standin.faults.tokens |= {"watch", "admin"}
    assert (await doctor(standin, tmp_path, "migrate"))[0] == 0
    code, told = await doctor(standin, tmp_path, "doctor")
    assert "All 15 rights that the watch needs are given." in told, told
    standin.faults.denied |= {("delete", "pods"), ("create", "pods/eviction")}
    code, told = await doctor(standin, tmp_path, "doctor")
    assert code == 1
    assert "missing right  delete pods" in told
    assert "missing right  create pods/eviction" in told
    assert "to restart a worker that hangs" in told
    code, told = await doctor(standin, tmp_path, "doctor", "--json")
    missing = [(r["verb"], r["resource"]) for r in json.loads(told)["rights"] if not r["allowed"]]
    assert sorted(missing) == [("create", "pods/eviction"), ("delete", "pods")]
    standin.faults.tokens.clear()
    standin.faults.tokens.add("another")
    code, told = await doctor(standin, tmp_path, "doctor")
    assert "rights could not be checked: Kubernetes refused" in told
    assert "The token or certificate is not accepted" in told
