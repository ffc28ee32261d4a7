"""The Lease over HTTP: taken, renewed, given back, taken over; and what each answer of the server comes to."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from cluster_kit import Cluster, StandIn

from gradewatch.clock import SystemClock
from gradewatch.errors import AccessDenied, StoreError, StoreUnavailable
from gradewatch.platforms.kubernetes.api import Api
from gradewatch.platforms.kubernetes.lease import KubernetesLeases
from gradewatch.remediation.lease import ActingLease

TTL = 15.0
NAME = "gw-lease-test"


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def leases(cluster: Cluster, time: Time, *, name: str = NAME, bearer: str = "", **more: Any) -> KubernetesLeases:
    access = cluster.as_(bearer) if bearer and isinstance(cluster, StandIn) else cluster.access
    return KubernetesLeases(Api(access, timeout=5.0), cluster.namespace, name, mono=time, **more)


async def vacant(cluster: Cluster, time: Time) -> str:
    """A lease that has stood without a holder for long enough; its name."""
    body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"generateName": f"{NAME}-"}}
    made = await cluster.make("leases", {**body, "spec": {"holderIdentity": "", "leaseTransitions": 1}})
    return str(made["metadata"]["name"])


@pytest.mark.cluster
async def test_its_life(cluster: Cluster) -> None:
    time = Time()
    name = await vacant(cluster, time)
    one, two = leases(cluster, time, name=name), leases(cluster, time, name=name)
    first = await one.acquire("watch", "one", TTL)
    assert first is not None
    assert (first.holder, first.term, first.ttl) == ("one", 2, TTL)
    assert await two.acquire("watch", "two", TTL) is None
    time.now += 5
    renewed = await one.acquire("watch", "one", TTL)
    assert renewed is not None
    assert renewed.term == 2, "its own renewal is no change of holder"
    assert await two.acquire("watch", "two", TTL) is None
    time.now += TTL - 0.1
    assert await two.acquire("watch", "two", TTL) is None
    time.now += 0.2
    taken = await two.acquire("watch", "two", TTL)
    assert taken is not None
    assert taken.term == 3
    assert await one.acquire("watch", "one", TTL) is None
    await one.release("watch", "one")
    assert await one.acquire("watch", "one", TTL) is None, "who holds nothing has nothing to give back"
    await two.release("watch", "two")
    again = await one.acquire("watch", "one", TTL)
    assert again is not None, "a lease given back is free at once"
    spec = (await cluster.admin.get(cluster.path("leases", name)))["spec"]
    assert (spec["holderIdentity"], spec["leaseDurationSeconds"], spec["leaseTransitions"]) == ("one", 15, again.term)
    for one_of_them in (one, two):
        await one_of_them._api.close()


async def test_one_that_is_not_there_is_made_without_a_holder_first(standin: StandIn) -> None:
    time = Time()
    one = leases(standin, time)
    assert await one.acquire("watch", "one", TTL) is None
    assert standin.state.get("leases", "default", NAME)["spec"]["holderIdentity"] == ""
    time.now += TTL - 0.1
    assert await one.acquire("watch", "one", TTL) is None
    time.now += 0.1
    assert await one.acquire("watch", "one", TTL) is not None
    await one._api.close()


async def test_a_single_cycle_does_not_wait(standin: StandIn) -> None:
    once = leases(standin, Time(), at_once=True)
    assert await once.acquire("watch", "once", TTL) is not None
    await once.release("watch", "once")
    await once._api.close()


@pytest.mark.parametrize(
    ("does", "kind"),
    [(403, AccessDenied), *((does, StoreUnavailable) for does in (429, 500, 502, "cut", "hang"))],
)
@pytest.mark.parametrize("verb", ["get", "update"])
async def test_what_the_server_does_ends_in_a_store_error_and_no_storm(
    standin: StandIn, does: Any, kind: type[StoreError], verb: str
) -> None:
    time = Time()
    standin.state.create("leases", "default", {"metadata": {"name": NAME}, "spec": {"leaseTransitions": 1}})
    one = leases(standin, time)
    ttl = 0.6 if does == "hang" else TTL
    with standin.faults.rule(does, verb=verb, resource="leases"):
        for _ in range(3):
            with pytest.raises(kind, match="Lease"):
                await one.acquire("watch", "one", ttl)
        asked = standin.faults.seen[verb, "leases"]
        assert asked <= (2 if does == "cut" else 1), "but for what aiohttp does on a cut connection"
    time.now += 10
    assert await one.acquire("watch", "one", TTL) is not None
    await one._api.close()


async def test_without_the_right_to_make_it_nobody_acts(standin: StandIn) -> None:
    standin.faults.denied.add(("create", "leases"))
    one = leases(standin, Time())
    with pytest.raises(AccessDenied, match="doctor"):
        await one.acquire("watch", "one", TTL)
    await one._api.close()


async def test_a_conflict_with_a_write_of_our_own_that_was_never_answered(standin: StandIn) -> None:
    """The renewal was done, its answer lost: the lease is ours, though its version is not the one we know."""
    time = Time()
    standin.state.create("leases", "default", {"metadata": {"name": NAME}, "spec": {"leaseTransitions": 1}})
    one = leases(standin, time)
    await one.acquire("watch", "one", TTL)
    with standin.faults.rule("after", verb="update", resource="leases"), pytest.raises(StoreUnavailable):
        await one.acquire("watch", "one", TTL)
    time.now += 5
    renewed = await one.acquire("watch", "one", TTL)
    assert renewed is not None
    assert renewed.term == 2
    with standin.faults.rule(409, verb="update", resource="leases", times=2):
        assert await one.acquire("watch", "one", TTL) is not None, "a conflict is looked into, not despaired of"
    await one._api.close()


async def test_cancelled_in_the_middle_it_is_held_by_nobody_who_acts(standin: StandIn) -> None:
    standin.state.create("leases", "default", {"metadata": {"name": NAME}, "spec": {"leaseTransitions": 1}})
    one = leases(standin, Time())
    acting = ActingLease(one, "one", TTL, SystemClock(), in_store=False)
    with standin.faults.rule("hang", verb="update", resource="leases"):
        keeping = asyncio.create_task(acting.keep())
        while not standin.faults.seen["update", "leases"]:
            await asyncio.sleep(0.005)
        keeping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await keeping
    assert not acting.held
    assert standin.state.get("leases", "default", NAME)["spec"].get("holderIdentity", "") == ""
    await one._api.close()


async def test_two_watches_parted_from_each_other(standin: StandIn) -> None:
    """The holder no longer reaches the server: it stops by itself, and before the other one begins."""
    standin.state.create("leases", "default", {"metadata": {"name": NAME}, "spec": {"leaseTransitions": 1}})
    ttl, clock, loop = 0.9, SystemClock(), asyncio.get_running_loop()
    two = {name: KubernetesLeases(Api(standin.as_(name), timeout=0.2), "default", NAME) for name in ("one", "two")}
    pair = [ActingLease(leases, name, ttl, clock, in_store=False) for name, leases in two.items()]
    assert await pair[0].keep()
    assert not await pair[1].keep()
    stopped = began = 0.0
    with standin.faults.rule("hang", token="one"):
        ends = loop.time() + 20
        while not began and loop.time() < ends:
            await asyncio.gather(*(one.keep() for one in pair))
            assert not (pair[0].held and pair[1].held)
            stopped = stopped or (0.0 if pair[0].held else loop.time())
            began = loop.time() if pair[1].held else 0.0
            await asyncio.sleep(0.02)
    assert 0 < stopped <= began
    assert pair[0].store_refused is None, "the store is not to blame"
    assert pair[0].refused is not None
    for one in pair:
        await one._leases._api.close()
