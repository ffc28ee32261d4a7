"""What is seen while the API server is away, slow, wrong, or somebody else; and that nobody is asked in a storm."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from apiserver import ApiServer, Faults, State
from authority import Authority
from cluster_kit import Cluster, StandIn, pod_up, target, until

from gradewatch.config import PlatformSettings
from gradewatch.errors import ConfigError, PlatformError
from gradewatch.platforms.kubernetes import missing
from gradewatch.platforms.kubernetes import platform as platform_module
from gradewatch.platforms.kubernetes.access import InCluster, find_access
from gradewatch.platforms.kubernetes.api import Api
from gradewatch.platforms.kubernetes.faults import ApiError


@pytest.mark.cluster
async def test_a_watch_goes_on_over_many_objects_and_pages(cluster: Cluster) -> None:
    name = await cluster.deploy(replicas=3)
    await cluster.running(name, 3)
    async with cluster.platform(name) as platform:
        await until(lambda: _count(platform, 3), "all are seen")
        await cluster.change("deployments", name, {"spec": {"replicas": 1}})
        await until(lambda: _count(platform, 1), "two are seen to go")


async def _count(platform: Any, wanted: int) -> bool:
    return sum(pod_up(t) for t in await platform.targets()) == wanted


async def test_whether_a_pod_is_gone_is_asked_until_it_is_known(
    standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(missing, "AGAIN", 0.1)
    name = await standin.deploy()
    [pod] = await standin.running(name)
    async with standin.platform(name) as platform:
        await target(platform, pod_up)
        with standin.faults.rule(500, verb="get", resource="pods", token="watch"):
            standin.state.remove("pods", "default", pod["metadata"]["name"])
            await until(lambda: standin.faults.seen["get", "pods"] > 1, "it is asked for, and again")
            ended = {life for t in await platform.targets() for life in t.ended_incarnations}
            assert pod["metadata"]["uid"] not in ended, "nothing is concluded from an error"
        await target(platform, lambda t: pod["metadata"]["uid"] in t.ended_incarnations, "it is known to be over")


@pytest.mark.parametrize("by_status", [False, True])
async def test_a_version_that_is_too_old_is_listed_anew_and_what_went_meanwhile_is_over(
    standin: StandIn, by_status: bool
) -> None:
    name = await standin.deploy(replicas=2, grace=0)
    pods = await standin.running(name, 2)
    standin.faults.gone_by_status = by_status
    async with standin.platform(name) as platform:
        await until(lambda: _count(platform, 2), "both are seen")
        standin.faults.bookmarks = 60.0
        with standin.faults.rule("cut", verb="watch"):
            await standin.server.stop()
            lost = pods[0]["metadata"]
            standin.state.remove("pods", "default", lost["name"])
            standin.state.compact()
            await standin.server.start()
            await until(lambda: standin.faults.seen["watch", "pods"] > 1, "it tries to go on")
        gone = await target(platform, lambda t: lost["uid"] in t.ended_incarnations, "the lost one is over")
        assert not gone.wanted
        await until(lambda: _count(platform, 2), "the new one is seen")
    assert standin.faults.seen["list", "pods"] - 0 < 12, "no storm of lists"


async def test_a_cut_watch_goes_on_without_a_list(standin: StandIn) -> None:
    name = await standin.deploy(grace=0)
    [pod] = await standin.running(name)
    async with standin.platform(name) as platform:
        await target(platform, pod_up)
        lists = standin.faults.seen["list", "pods"]
        await standin.server.stop()
        standin.state.remove("pods", "default", pod["metadata"]["name"])
        await standin.server.start()
        await target(platform, lambda t: pod["metadata"]["uid"] in t.ended_incarnations, "what was missed is told")
        mine = standin.faults.seen["list", "pods"] - lists
    assert mine == 0


async def test_a_watch_that_falls_silent_is_begun_anew(standin: StandIn) -> None:
    """The connection stands, and nothing comes: no bookmark, no event."""
    name = await standin.deploy()
    await standin.running(name)
    standin.faults.bookmarks = 3600.0
    async with standin.platform(name, quiet=0.2) as platform:
        await target(platform, pod_up)
        before = standin.faults.seen["watch", "pods"]
        await until(lambda: standin.faults.seen["watch", "pods"] > before, "it is begun anew")
        assert await platform.targets()


async def test_a_server_that_falls_silent_and_then_begins_no_watch_is_away(
    standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform_module, "STALE", 0.3)
    name = await standin.deploy()
    await standin.running(name)
    standin.faults.bookmarks = 3600.0
    async with standin.platform(name, quiet=0.2, timeout=0.3) as platform:
        await target(platform, pod_up)
        with standin.faults.rule("hang", verb="watch"):
            await until(lambda: _unknown(platform), "the platform is unknown")
        await until(lambda: _known(platform), "it is known again")


@pytest.mark.parametrize("does", [400, 504])
async def test_a_version_that_the_server_does_not_take_is_listed_anew(standin: StandIn, does: int) -> None:
    name = await standin.deploy()
    await standin.running(name)
    async with standin.platform(name, quiet=0.2) as platform:
        await target(platform, pod_up)
        standin.faults.bookmarks = 3600.0
        lists = standin.faults.seen["list", "pods"]
        with standin.faults.rule(does, verb="watch", resource="pods", times=1):
            await until(lambda: standin.faults.seen["list", "pods"] > lists, "it is listed anew")
        await until(lambda: _known(platform), "it is known again")


@pytest.mark.parametrize("does", [500, 503, 429, 502, "cut", "hang"])
async def test_while_the_server_is_away_nothing_is_claimed_and_it_is_not_stormed(
    standin: StandIn, does: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform_module, "STALE", 0.3)
    name = await standin.deploy()
    await standin.running(name)
    async with standin.platform(name, timeout=0.3) as platform:
        await target(platform, pod_up)
        with standin.faults.rule(does, token="watch"):
            await standin.server.stop()
            await standin.server.start()
            await until(lambda: _unknown(platform), "the platform is unknown")
            before = sum(standin.faults.seen.values())
            await asyncio.sleep(1.5)
            assert sum(standin.faults.seen.values()) - before < 16, "two streams, each backing off"
        await until(lambda: _known(platform), "it is known again", within=40)


async def test_retry_after_is_kept_to(standin: StandIn) -> None:
    with standin.faults.rule(429, verb="list", retry_after=30):
        async with standin.platform("w") as platform:
            await until(lambda: _unknown(platform), "it is told to wait")
            await asyncio.sleep(1.0)
            assert standin.faults.seen["list", "deployments"] == 1


async def _unknown(platform: Any) -> bool:
    try:
        await platform.targets()
    except PlatformError:
        return True
    return False


async def _known(platform: Any) -> bool:
    return not await _unknown(platform)


@pytest.mark.parametrize("resource", ["pods", "deployments"])
@pytest.mark.parametrize("verb", ["list", "watch"])
async def test_without_the_right_to_see_it_is_unknown_and_says_which(
    standin: StandIn, verb: str, resource: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform_module, "STALE", 0.1)
    name = await standin.deploy()
    await standin.running(name)
    standin.faults.denied.add((verb, resource))
    async with standin.platform(name) as platform:
        await until(lambda: _unknown(platform), "it is unknown")
        with pytest.raises(PlatformError, match=f'cannot {verb} resource "{resource}"'):
            await platform.targets()


async def test_an_answer_of_something_else(standin: StandIn) -> None:
    """A proxy's page, a body without end, garbage in a watch."""
    api = Api(standin.access, timeout=1.0)
    with standin.faults.rule(502), pytest.raises(ApiError, match="502"):
        await api.get("/api/v1/namespaces/default/pods")
    await api.close()
    nowhere = Api(type(standin.access)("http://127.0.0.1:9"), timeout=1.0)
    with pytest.raises(ApiError, match="cannot be reached"):
        await nowhere.get("/api/v1/namespaces/default/pods")
    await nowhere.close()


# ---------------------------------------------------------------- tokens and certificates


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    made = Authority(tmp_path)
    made.service_account("first\n")
    return made


PODS = "/api/v1/namespaces/default/pods"


async def test_in_a_cluster_a_rotated_token_is_taken_up(authority: Authority, tmp_path: Path) -> None:
    faults = Faults(tokens={"first"})
    server = ApiServer(State(), faults, tls=authority.serve())
    await server.start()
    api = Api(InCluster(tmp_path / "serviceaccount", "127.0.0.1", str(server.port)), timeout=5.0)
    assert (await api.get(PODS))["items"] == []
    faults.tokens = {"second"}
    with pytest.raises(ApiError, match="401") as refused:
        await api.get(PODS)
    assert "first" not in str(refused.value), "a token is never told"
    (tmp_path / "serviceaccount" / "token").write_text("second")
    assert (await api.get(PODS))["items"] == []
    (tmp_path / "serviceaccount" / "token").unlink()
    with pytest.raises(ApiError, match="no service account token"):
        await api.get(PODS)
    await api.close()
    await server.stop()


async def test_an_expired_certificate_is_refused_and_named_and_a_new_one_taken(
    authority: Authority, tmp_path: Path
) -> None:
    state = State()
    expired = ApiServer(state, Faults(), tls=authority.serve(days=(-10, -1)))
    await expired.start()
    api = Api(InCluster(tmp_path / "serviceaccount", "127.0.0.1", str(expired.port)), timeout=5.0)
    with pytest.raises(ApiError, match="certificate has expired"):
        await api.get(PODS)
    await expired.stop()
    renewed = ApiServer(state, Faults(), tls=authority.serve())
    renewed.port = expired.port
    await renewed.start()
    assert (await api.get(PODS))["items"] == []
    await api.close()
    await renewed.stop()


async def test_a_rotated_ca_is_taken_up_from_its_file(authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path, "another")
    server = ApiServer(State(), Faults(), tls=other.serve())
    await server.start()
    api = Api(InCluster(tmp_path / "serviceaccount", "127.0.0.1", str(server.port)), timeout=5.0)
    with pytest.raises(ApiError, match="certificate is not accepted"):
        await api.get(PODS)
    (tmp_path / "serviceaccount" / "ca.crt").write_bytes(authority.pem + other.pem)
    assert (await api.get(PODS))["items"] == []
    (tmp_path / "serviceaccount" / "ca.crt").write_text("no certificate")
    with pytest.raises(ApiError, match="cannot be used"):
        await api.get(PODS)
    await api.close()
    await server.stop()


def test_a_pod_without_a_service_account_is_told_so(tmp_path: Path) -> None:
    settings = PlatformSettings(service_account=str(tmp_path))
    with pytest.raises(ConfigError, match="has no service account mounted"):
        find_access(settings, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"})


def test_an_address_of_version_six(authority: Authority, tmp_path: Path) -> None:
    settings = PlatformSettings(service_account=str(tmp_path / "serviceaccount"))
    found = find_access(settings, {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "6443"})
    assert (found.server, found.namespace) == ("https://[fd00::1]:6443", "default")


@pytest.mark.parametrize("text", ["", "no: kubeconfig", "{"])
def test_a_kubeconfig_that_is_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config"
    if text:
        file.write_text(text)
    with pytest.raises(ConfigError, match=r"platform\.kubeconfig"):
        find_access(PlatformSettings(kubeconfig=str(file)), {})
