"""The story as Events: said once, a few at a time, and never at anybody's cost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from builders import ago, finding, report, result, snapshot
from cluster_kit import Cluster, StandIn, pod_up, target, until

from gradewatch.model import ActionKind, Code, ControlFacts, CycleReport, Known, Outcome, RestartRecord
from gradewatch.platforms.kubernetes import KubernetesPlatform
from gradewatch.platforms.kubernetes import events as module

NOW = ago(0)


def told(platform: KubernetesPlatform, **changes: Any) -> None:
    platform.hear(report(**changes))


def restarts(*records: tuple[int, bool | None], group: str) -> CycleReport:
    made = tuple(RestartRecord(n, f"{group}/pod", "default", NOW, Outcome.APPLIED, ok) for n, ok in records)
    return report(snapshot(control=Known(ControlFacts(NOW, restarts=made), 1000.0)))


@pytest.mark.cluster
async def test_on_the_deployment_as_kubectl_describe_finds_it(cluster: Cluster) -> None:
    name = await cluster.deploy(replicas=0)
    uid = (await cluster.admin.get(cluster.path("deployments", name)))["metadata"]["uid"]
    async with cluster.platform(name) as platform:
        await target(platform, lambda t: t.whole)
        told(platform, findings=[finding(Code.WORKER_NEVER_SEEN, summary="No worker " + "ä" * 900, fix="Deploy it.")])
        [event] = await until(lambda: cluster.events(name), "it is told")
    assert event["involvedObject"] == event["involvedObject"] | {
        "kind": "Deployment",
        "apiVersion": "apps/v1",
        "name": name,
        "uid": uid,
    }
    assert (event["reason"], event["type"], event["count"]) == ("WorkerNeverSeen", "Warning", 1)
    assert len(event["message"].encode()) <= 1024


@asynccontextmanager
async def opened(standin: StandIn) -> AsyncIterator[tuple[KubernetesPlatform, str, str]]:
    name = await standin.deploy()
    [pod] = await standin.running(name)
    async with standin.platform(name) as platform:
        await target(platform, pod_up)
        yield platform, name, pod["metadata"]["name"]


async def reasons(standin: StandIn, about: str) -> list[str]:
    return [event["reason"] for event in await standin.events(about)]


async def test_each_thing_once_and_its_repetition_as_a_count(standin: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUMP", 0.2)
    refused = result(ActionKind.RESTART, Outcome.SUPPRESSED)
    async with opened(standin) as (platform, name, _):
        for _ in range(20):
            told(platform, results=(refused,))
        await until(lambda: standin.events(name), "it is told")
        await asyncio.sleep(0.25)
        told(platform, results=(refused,))
        await until(lambda: _count(standin, name, 21), "its count is raised")
        assert await reasons(standin, name) == ["RestartRefused"]
    assert standin.faults.seen["create", "events"] == standin.faults.seen["patch", "events"] == 1


async def _count(standin: StandIn, name: str, wanted: int) -> bool:
    return [e["count"] for e in await standin.events(name)] == [wanted]


async def test_at_most_so_many(standin: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BURST", 5)
    monkeypatch.setattr(module, "LAST_WORDS", 0.1, raising=False)
    async with opened(standin) as (platform, name, _):
        platform._teller._tokens = 5.0
        codes = [finding(Code.WORKER_OOM_KILLED, subject=f"s{n}", summary=f"number {n}") for n in range(200)]
        told(platform, findings=codes)
        await until(lambda: _many(standin, name, 5), "some are told")
        await asyncio.sleep(0.3)
        assert len(await standin.events(name)) == 5
        assert len(platform._teller._notes) <= module.BACKLOG


async def _many(standin: StandIn, name: str, count: int) -> bool:
    return len(await standin.events(name)) >= count


async def test_restarts_that_helped_and_that_did_not(standin: StandIn) -> None:
    async with opened(standin) as (platform, name, _):
        platform.hear(restarts((1, True), (2, None), (3, None), group=name))
        platform.hear(restarts((1, True), (2, True), (3, False), group=name))
        platform.hear(restarts((1, True), (2, True), (3, False), group=name))
        await until(lambda: _many(standin, name, 2), "both are told")
        assert sorted(await reasons(standin, name)) == ["RestartIneffective", "RestartVerified"]
        platform.hear(restarts((9, None), group="another"))
        platform.hear(restarts((9, True), group="another"))
        await asyncio.sleep(0.1)
        assert len(await standin.events(name)) == 2


async def test_a_watch_that_does_not_act_says_nothing(standin: StandIn) -> None:
    async with opened(standin) as (platform, name, _):
        told(platform, leader=False, results=(result(ActionKind.RESTART),), findings=[finding(Code.WORKER_OOM_KILLED)])
        await asyncio.sleep(0.1)
        assert await standin.events(name) == []
        told(platform, findings=[finding(Code.WORKER_OOM_KILLED)])
        await until(lambda: standin.events(name), "it tells once it acts")


@pytest.mark.parametrize("does", [403, 500, "hang", "cut"])
async def test_events_that_cannot_be_written_hold_up_nothing(standin: StandIn, does: Any) -> None:
    async with opened(standin) as (platform, _, _):
        with standin.faults.rule(does, resource="events", token="watch"):
            told(platform, results=(result(ActionKind.RESTART, Outcome.FAILED),))
            await until(lambda: standin.faults.seen["create", "events"], "it was tried")
            assert await platform.targets()
        assert standin.faults.seen["create", "events"] <= 2
