"""The whole watch over the stand-in, in this process: cycle, remedies, SQLite, Kubernetes platform, Lease."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from cluster_kit import LIFE, RUN, StandIn, pod_up, target, until

from gradewatch.app import make_cycle
from gradewatch.board import Board
from gradewatch.config import Settings, StoreSettings, Timeouts, WatchSettings
from gradewatch.config.settings import QueueSettings
from gradewatch.cycle import Cycle
from gradewatch.model import JobState, NewJob, NewSession, Outcome
from gradewatch.platforms.kubernetes import KubernetesPlatform
from gradewatch.stores.sqlite import SqliteStore

SESSION = NewSession("w", ("default",), slots=4, host="h", pid=1, version="0")


class Watch:
    """A running watch with its store, and workers that are but sessions of pods."""

    def __init__(self, store: SqliteStore, platform: KubernetesPlatform, cycle: Cycle, board: Board) -> None:
        self.store, self.platform, self.cycle, self.board = store, platform, cycle, board

    async def worker(self, pod: str, uid: str, jobs: int = 1, priority: int = 0) -> tuple[str, list[str]]:
        """A session of that pod, holding so many jobs; their ids."""
        session = await self.store.open_session(replace(SESSION, name=pod, target=pod, incarnation=f"{uid}/{LIFE}"))
        ids = await self.store.submit([NewJob("grade", {}, priority=priority)] * jobs)
        if jobs:
            await self.store.claim(session, ["default"], ["grade"], jobs)
        return session, ids

    async def states(self, ids: list[str]) -> set[JobState]:
        return {job.state for id in ids if (job := await self.store.job(id))}

    async def audit(self, action: str, *outcomes: Outcome) -> list[str]:
        """The subjects of what was done, oldest first."""
        found = reversed(await self.store.audit(limit=1000))
        return [e.subject for e in found if e.action == action and e.outcome in (outcomes or (Outcome.APPLIED,))]


@asynccontextmanager
async def watching(
    cluster: StandIn,
    deployment: str,
    path: Path,
    *,
    heartbeat: float = 60.0,
    bearer: str = "watch",
    **remediation: object,
) -> AsyncIterator[Watch]:
    limits = {"start_grace": 0.0, "lease": 1.5, "cooldown": 0.1, "verify": 5.0} | remediation
    base = cluster.settings(deployment, remediation=limits)
    timeouts = Timeouts(heartbeat=heartbeat)
    settings = Settings(
        store=StoreSettings(timeout=5.0),
        watch=WatchSettings(interval=0.2),
        timeouts=timeouts,
        queues={"default": QueueSettings(timeouts=timeouts)},
        remediation=base.remediation,
        platform=base.platform,
    )
    lease = {"metadata": {"name": settings.platform.lease}, "spec": {"leaseTransitions": 1, "holderIdentity": ""}}
    if cluster.state.find("leases", "default", settings.platform.lease) is None:
        cluster.state.create("leases", "default", lease)
    store = SqliteStore(path, timeout=5.0)
    await store.migrate()
    await store.open()
    platform = KubernetesPlatform(settings, {}, access=cluster.as_(bearer))
    await platform.open()
    board, stop = Board(), asyncio.Event()
    cycle = make_cycle(settings, store, platform, board, environ={})
    running = asyncio.create_task(cycle.run(stop))
    try:
        yield Watch(store, platform, cycle, board)
    finally:
        stop.set()
        await running
        await platform.close()
        await store.close()


async def leads(watch: Watch) -> None:
    def acting() -> bool:
        latest = watch.board.latest
        return bool(latest and latest.leader and not latest.snapshot.observe_only)

    await until(acting, "it acts")


async def test_a_pods_death_frees_its_jobs_in_well_under_a_second(standin: StandIn, tmp_path: Path) -> None:
    name = await standin.deploy(grace=0)
    [pod] = await standin.running(name)
    async with watching(standin, name, tmp_path / "db", heartbeat=600.0) as watch:
        await leads(watch)
        await target(watch.platform, pod_up)
        _, ids = await watch.worker(pod["metadata"]["name"], pod["metadata"]["uid"], jobs=3)
        await standin.delete("pods", pod["metadata"]["name"], gracePeriodSeconds=0)
        began = time.monotonic()
        await until(lambda: _free(watch, ids), "its jobs are free")
        assert time.monotonic() - began < 1.0
        assert sorted(await watch.audit("requeue")) == sorted(ids)


async def _free(watch: Watch, ids: list[str]) -> bool:
    return await watch.states(ids) == {JobState.PENDING}


async def test_a_pod_made_again_under_its_name_keeps_its_jobs_while_the_old_ones_are_released(
    standin: StandIn, tmp_path: Path
) -> None:
    name = await standin.deploy(kind="StatefulSet", grace=0)
    [old] = await standin.running(name)
    async with watching(standin, f"statefulset/{name}", tmp_path / "db", heartbeat=600.0) as watch:
        await leads(watch)
        await target(watch.platform, pod_up)
        session, ids = await watch.worker(f"{name}-0", old["metadata"]["uid"], jobs=2)
        with standin.faults.rule(delay=1.0, verb="watch"):  # what follows reaches the watch as one
            await standin.delete("pods", f"{name}-0", gracePeriodSeconds=0)
            [new] = await standin.running(name)
        assert new["metadata"]["uid"] != old["metadata"]["uid"]
        other, mine = await watch.worker(f"{name}-0", new["metadata"]["uid"], jobs=2, priority=1)
        await until(lambda: _ended(watch, session), "the old session is ended")
        await until(lambda: _once_taken(watch, ids), "its jobs are taken back")
        assert await watch.states(mine) == {JobState.RUNNING}
        assert set(await watch.audit("requeue")) == set(ids)
        assert not await _ended(watch, other)
        assert await watch.audit("restart") == []
    [there] = await standin.pods(name)
    assert there["metadata"]["uid"] == new["metadata"]["uid"]


async def _ended(watch: Watch, session: str) -> bool:
    return any(s.id == session and s.ended_at for s in await watch.store.sessions())


async def _once_taken(watch: Watch, ids: list[str]) -> bool:
    return set(await watch.audit("requeue")) >= set(ids)


@pytest.mark.parametrize("off", [3600.0, -3600.0])
async def test_a_node_whose_clock_is_an_hour_off_changes_nothing(standin: StandIn, tmp_path: Path, off: float) -> None:
    """Neither is a living worker believed dead, nor one that hangs too young or too old, nor an end missed."""
    standin.kubelet.clock_off = off
    name = await standin.deploy(command=RUN)
    [pod] = await standin.running(name)
    async with watching(standin, name, tmp_path / "db", heartbeat=600.0) as watch:
        await leads(watch)
        await target(watch.platform, pod_up)
        _, ids = await watch.worker(pod["metadata"]["name"], pod["metadata"]["uid"])
        for _ in range(3):
            latest = watch.board.latest
            await until(lambda seen=latest: watch.board.latest is not seen, "another cycle")
        assert await watch.states(ids) == {JobState.RUNNING}
        assert await watch.audit("restart", *Outcome) == []
        standin.kubelet.process(pod["metadata"]["name"]).kill()
        await until(lambda: _free(watch, ids), "the end of that life frees its job")


async def test_hung_workers_behind_a_disruption_budget_are_waited_for(standin: StandIn, tmp_path: Path) -> None:
    """Never a storm: one eviction is asked for, then Kubernetes' "not now" is kept to, and told once."""
    name = await standin.deploy()
    budget = {"minAvailable": 1, "selector": {"matchLabels": {"app": name}}}
    await standin.make("poddisruptionbudgets", {"metadata": {"name": name}, "spec": budget})
    [pod] = await standin.running(name)
    async with watching(standin, name, tmp_path / "db", heartbeat=1.0) as watch:
        await watch.worker(pod["metadata"]["name"], pod["metadata"]["uid"])
        await leads(watch)
        await until(lambda: _held(watch), "it is held back", within=30)
        await asyncio.sleep(1.0)
        held = await watch.audit("restart", Outcome.SUPPRESSED)
        assert 1 <= len(held) <= 3
        assert standin.faults.seen["create", "pods/eviction"] == 1
        assert await watch.audit("restart", Outcome.APPLIED, Outcome.FAILED) == []
        refused = [e for e in await standin.events(pod["metadata"]["name"]) if e["reason"] == "RestartRefused"]
        assert any("disruption budget" in e["message"] for e in refused)
        assert len(refused) <= 2, "the same thing is told once"


async def _held(watch: Watch) -> bool:
    return bool(await watch.audit("restart", Outcome.SUPPRESSED))


async def test_at_rest_nothing_is_asked_beyond_the_watches_and_the_lease(standin: StandIn, tmp_path: Path) -> None:
    name = await standin.deploy(replicas=3)
    pods = await standin.running(name, 3)
    async with watching(standin, name, tmp_path / "db") as watch:
        for pod in pods:
            await watch.worker(pod["metadata"]["name"], pod["metadata"]["uid"], jobs=0)
        await leads(watch)
        await until(lambda: standin.server.watches == 2, "both streams are open")
        await target(watch.platform, pod_up)
        before = standin.faults.seen.copy()
        await asyncio.sleep(1.5)
        asked = standin.faults.seen - before
    assert {resource for _, resource in asked} == {"leases"}


async def test_two_watches_over_one_cluster_act_one_at_a_time(standin: StandIn, tmp_path: Path) -> None:
    """Parted from each other: the one that acts loses the API server, and the other takes over."""
    name = await standin.deploy()
    await standin.running(name)
    async with (
        watching(standin, name, tmp_path / "db", bearer="one") as one,
        watching(standin, name, tmp_path / "db", bearer="two") as two,
    ):
        both = (one, two)
        await until(lambda: _leaders(both), "one of them acts")
        [leader] = _leaders(both)
        other = two if leader is one else one
        with standin.faults.rule("hang", token="one" if leader is one else "two"):
            ends = time.monotonic() + 15
            while not other.cycle._lease.held:
                assert not (one.cycle._lease.held and two.cycle._lease.held)
                assert time.monotonic() < ends
                await asyncio.sleep(0.01)
            assert not leader.cycle._lease.held


def _leaders(watches: tuple[Watch, ...]) -> list[Watch]:
    return [w for w in watches if w.cycle._lease.held]
