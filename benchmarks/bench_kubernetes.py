"""The watch in a cluster of 500 worker pods, over TLS with a service account; the API server is the tests' stand-in.

How long from a pod's deletion at the API server to its job being pending again; what listing 500 pods and telling of
them costs the loop, in processor time of its thread; what the real watch keeps in memory; what it asks when at rest.
"""

from __future__ import annotations

import asyncio
import gc
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import psutil

from benchmarks.cluster import NAME, Cluster, cluster
from benchmarks.figures import Entry, at_most, percentile, spread, worth_knowing
from benchmarks.world import World, world
from gradewatch.config import PlatformSettings, Settings
from gradewatch.errors import PlatformError
from gradewatch.model import JobState, NewJob, NewSession
from gradewatch.platforms.kubernetes import KubernetesPlatform
from gradewatch.platforms.kubernetes.access import InCluster

PODS, DEATHS = 500, 40
REST = 20.0  # seconds
SETTLE = 6.0  # seconds: a cycle at rest, and a moment
WATCHED = '[timeouts]\nheartbeat = "1h"\nschedule_to_start = "2h"\nstart_to_close = "3h"\n'


async def run() -> list[Entry]:
    with tempfile.TemporaryDirectory(prefix="gradewatch-bench-") as folder, cluster(Path(folder), PODS) as made:
        return [*await _listed(made), *await _watched(made)]


# ---------------------------------------------------------------- the loop's time


async def _listed(made: Cluster) -> list[Entry]:
    """Of several, the one that was disturbed least: what is asked for is the work itself."""
    costs = []
    for _ in range(5):
        access = InCluster(made.account, "127.0.0.1", str(made.port))
        platform = KubernetesPlatform(Settings(platform=PlatformSettings(deployment=NAME)), {}, access=access)
        gc.collect()
        before = time.thread_time()
        await platform.open()
        while await _known(platform) < PODS + 1:
            await asyncio.sleep(0.05)
        costs.append((time.thread_time() - before) * 1000)
        before = time.thread_time()
        await platform.targets()
        again = (time.thread_time() - before) * 1000
        await platform.close()
    return [
        at_most(f"{PODS} pods listed and diffed, loop time", min(costs), "ms", 50.0, spread(costs, "ms")),
        worth_knowing(f"{PODS} pods told of in one cycle, loop time", again, "ms"),
    ]


async def _known(platform: KubernetesPlatform) -> int:
    try:
        return len(await platform.targets())
    except PlatformError:  # not listed yet
        return 0


# ---------------------------------------------------------------- the real watch


async def _watched(made: Cluster) -> list[Entry]:
    async with world() as here:
        here.configure(WATCHED + made.settings)
        jobs = await _at_work(here, made)
        async with AsyncExitStack() as stack:
            with _environment(made.environ):
                process = await stack.enter_async_context(here.running("watch"))
            await here.until(lambda: _leads(made), "the watch acts")
            await here.until(lambda: _knows(made), "the watch knows whose pods they are")
            await asyncio.sleep(SETTLE)
            memory = psutil.Process(process.pid).memory_info().rss / 1e6
            before = made.asked()
            await asyncio.sleep(REST)
            asked = made.asked() - before
            took = [await _die(here, made, pod, job) for pod, job in jobs]
    beyond = {key: count for key, count in asked.items() if key[0] != "watch" and key[1] != "leases"}
    leases = sum(count for key, count in asked.items() if key[1] == "leases")
    return [
        at_most("pod death to job released, p99", percentile(took, 99), "s", 1.0, spread(took, "s")),
        at_most(f"the watch with {PODS} pods, resident memory (RSS)", memory, "MB", 90.0),
        at_most(
            "requests at rest but for watches and lease", sum(beyond.values()) * 60 / REST, "/min", 1.0, str(beyond)
        ),
        worth_knowing("requests at rest for the lease", leases * 60 / REST, "/min"),
    ]


async def _at_work(here: World, made: Cluster) -> list[tuple[str, str]]:
    """A session with a job for some of the pods: (pod, job)."""
    jobs = []
    for pod in made.pods()[:DEATHS]:
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        new = NewSession(name, ("default",), 1, "host", 1, "0", target=name, incarnation=f"{uid}/0123456789ab")
        session = await here.store.open_session(new)
        [job] = await here.store.submit([NewJob("grade", {})])
        await here.store.claim(session, ["default"], ["grade"], 1)
        jobs.append((name, job))
    return jobs


async def _die(here: World, made: Cluster, pod: str, job: str) -> float:
    began = time.monotonic()
    made.do(lambda: made.state.remove("pods", "default", pod))

    async def free() -> bool | None:
        found = await here.store.job(job)
        return True if found is not None and found.state is JobState.PENDING else None

    await here.until(free, "its job is free", look=0.005)
    took = time.monotonic() - began
    await asyncio.sleep(0.1)
    return took


async def _knows(made: Cluster) -> bool | None:
    return True if made.asked()["get", "replicasets"] else None


async def _leads(made: Cluster) -> bool | None:
    lease = made.do(lambda: made.state.get("leases", "default", "gradewatch-watch"))
    return True if lease["spec"].get("holderIdentity") else None


@contextmanager
def _environment(extra: dict[str, str]) -> Iterator[None]:
    """Variables that processes started meanwhile inherit."""
    before = dict(os.environ)
    os.environ.update(extra)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
