"""Rights: each that is missing is named, and is all that does not work."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest
from authority import Authority
from cluster_kit import Cluster, StandIn

from gradewatch.cli.rights import Checked
from gradewatch.config import PlatformSettings
from gradewatch.errors import PlatformError
from gradewatch.model import Right
from gradewatch.platforms.kubernetes.access import InCluster, find_access
from gradewatch.platforms.kubernetes.api import Api
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


async def doctor(folder: Path, environ: dict[str, str], *args: str) -> tuple[int, str]:
    """The real command, as it runs in a pod."""
    command = [sys.executable, "-m", "gradewatch", *args]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, env={**os.environ, **environ}, stdout=pipe, stderr=asyncio.subprocess.STDOUT
    )
    told, _ = await process.communicate()
    return process.returncode or 0, told.decode()


async def test_doctor_names_what_is_missing(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    account = authority.service_account("watch")
    standin = StandIn(tls=authority.serve())
    await standin.start(lambda port: InCluster(account, "127.0.0.1", str(port)))
    settings = f'[platform]\nkind = "kubernetes"\ndeployment = "w"\nservice_account = "{account}"\n'
    (tmp_path / "gradewatch.toml").write_text(settings)
    environ = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(standin.server.port)}
    try:
        _, told = await doctor(tmp_path, environ, "doctor")
        assert "All 15 rights that the watch needs are given." in told, told
        standin.faults.denied |= {("delete", "pods"), ("create", "pods/eviction")}
        code, told = await doctor(tmp_path, environ, "doctor", "--json")
        missing = [(r["verb"], r["resource"]) for r in json.loads(told)["rights"] if not r["allowed"]]
        assert sorted(missing) == [("create", "pods/eviction"), ("delete", "pods")]
        assert code != 0
        standin.faults.tokens.add("another")
        _, told = await doctor(tmp_path, environ, "doctor")
        assert "rights could not be checked: Kubernetes refused" in told
        assert "The token or certificate is not accepted" in told
    finally:
        await standin.clear()


@pytest.mark.parametrize(
    ("checked", "code", "words"),
    [
        (Checked(), 0, ""),
        (Checked([Right("list", "pods", "namespace n", True, "to see")]), 0, "All 1 rights"),
        (Checked([Right("list", "pods", "namespace n", False, "to see", "Add it.")]), 1, "missing right  list pods"),
        (Checked(error="it is away"), 2, "rights could not be checked: it is away"),
    ],
)
def test_what_doctor_says_of_them(checked: Checked, code: int, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    checked.echo()
    said = capsys.readouterr().out
    assert words in said
    assert bool(said) == bool(words)
    assert checked.exit_code(0) == code
    assert checked.exit_code(1) == 1


async def test_a_kubeconfig_is_read_token_and_all(standin: StandIn, tmp_path: Path) -> None:
    standin.faults.tokens.add("from the file")
    file = tmp_path / "kubeconfig"
    parts = {
        "clusters": [{"name": "c", "cluster": {"server": standin.server.url}}],
        "users": [{"name": "u", "user": {"token": "from the file"}}],
        "contexts": [
            {"name": "x", "context": {"cluster": "c", "user": "u"}},
            {"name": "y", "context": {"cluster": "c", "user": "u", "namespace": "exams"}},
        ],
    }
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", "current-context": "x", **parts}))
    access = find_access(PlatformSettings(context="y"), {"KUBECONFIG": str(file)})
    assert (access.server, access.namespace) == (standin.server.url, "exams")
    assert find_access(PlatformSettings(), {"KUBECONFIG": str(file)}).namespace == "default"
    api = Api(access, timeout=5.0)
    assert (await api.get("/api/v1/namespaces/default/pods"))["items"] == []
    await api.close()
