"""The real watch in a cluster, over TLS with a service account: what became of the worker, what was done or why not,
and where that is told: finding, audit, Event, metric."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
from authority import Authority
from chaos_kit import Scene, Service, until
from cluster_kit import StandIn

from gradewatch.model import JobState
from gradewatch.platforms.kubernetes.access import InCluster

pytestmark = pytest.mark.acceptance

WORKER = (sys.executable, "-m", "gradewatch", "worker")
NAME = "gradewatch-worker"


@pytest.fixture
async def cluster(scene: Scene) -> AsyncIterator[StandIn]:
    """A cluster whose pods run the real worker over the scene's store; the watch is told of it as a pod would be."""
    authority = Authority(scene.folder)
    account = authority.service_account("token-of-the-watch")
    made = StandIn(tls=authority.serve(), environ=scene.environ | {"PYTHONPATH": os.getcwd()})
    await made.start(lambda port: InCluster(account, "127.0.0.1", str(port)))
    scene.environ |= {
        "KUBERNETES_SERVICE_HOST": "127.0.0.1",
        "KUBERNETES_SERVICE_PORT": str(made.server.port),
        "GRADEWATCH_PLATFORM__KIND": "kubernetes",
        "GRADEWATCH_PLATFORM__SERVICE_ACCOUNT": str(account),
    }
    try:
        yield made
    finally:
        await made.clear()


async def told(cluster: StandIn, about: str, reason: str) -> dict[str, Any]:
    """The Event with that reason, once it is there."""

    async def there() -> dict[str, Any] | None:
        return next((e for e in await cluster.events(about) if e["reason"] == reason), None)

    return await until(there, f"an Event {reason} on {about}")


async def acts(watch: Service) -> None:
    await until(lambda: watch.lines("this watch acts"), "it holds the Lease")


async def audited(scene: Scene, action: str, outcome: str, **fields: Any) -> Any:
    async def there() -> Any:
        for entry in await scene.audit(action):
            if entry.outcome.value == outcome and all(getattr(entry, key) == value for key, value in fields.items()):
                return entry
        return None

    return await until(there, f"the audit trail tells of {action}: {outcome} {fields}")


async def test_a_worker_is_killed(scene: Scene, cluster: StandIn) -> None:
    """Kubernetes starts its container again in the same pod; its jobs are free as soon as that one life is over."""
    await cluster.deploy(name=NAME, command=WORKER)
    watch = scene.start("watch", TIMEOUTS__HEARTBEAT="30s")
    [session] = await scene.workers(1)
    [pod] = await cluster.running(NAME)
    name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
    assert (session.target, session.incarnation.partition("/")[0]) == (name, uid)
    await acts(watch)
    [job] = await scene.submit(1, papers=80)
    await scene.half_way(job)
    cluster.kubelet.process(name).send_signal(signal.SIGKILL)
    taken = await audited(scene, "requeue", "applied", subject=job)
    assert "its process ended: killed by SIGKILL" in taken.message
    assert (await cluster.running(NAME))[0]["metadata"]["uid"] == uid, "the same pod goes on"
    assert "Took back 1 job of" in (await told(cluster, name, "JobsTakenBack"))["message"]
    await scene.graded_once([job])
    await watch.shows('gradewatch_remediation_jobs_total{action="requeue"}', 1)
    assert cluster.faults.seen["create", "pods/eviction"] == 0
    watch.kill(signal.SIGTERM)
    await watch.ended()
    lease = cluster.state.get("leases", "default", "gradewatch-watch")
    assert lease["spec"]["holderIdentity"] == "", "it is given back"


async def test_a_worker_hangs(scene: Scene, cluster: StandIn) -> None:
    await cluster.deploy(name=NAME, command=WORKER)
    watch = scene.start("watch")
    await scene.workers(1)
    [pod] = await cluster.running(NAME)
    name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
    await acts(watch)
    [job] = await scene.submit(1, papers=80)
    await scene.half_way(job)
    await scene.freeze(cluster.kubelet.process(name).pid)
    restart = await audited(scene, "restart", "applied", verified=True)
    assert restart.subject == f"{NAME}/{name}"
    assert "hangs: its process is there, but it has not beaten" in restart.message
    assert (await cluster.running(NAME))[0]["metadata"]["uid"] != uid
    await scene.graded_once([job])
    assert "hangs" in (await told(cluster, name, "WorkerRestarted"))["message"]
    assert "helped" in (await told(cluster, NAME, "RestartVerified"))["message"]
    await watch.shows('gradewatch_remediations_total{action="restart",outcome="applied"}', 1)
    assert cluster.faults.seen["create", "pods/eviction"] == 1


async def test_a_worker_is_killed_for_its_memory_again_and_again(scene: Scene, cluster: StandIn) -> None:
    await scene.submit(1, papers=3)
    await cluster.deploy(name=NAME, command=WORKER, memory="16Mi")
    watch = scene.start("watch")
    await acts(watch)
    finding = await until(lambda: watch.lines("finding", code="worker_oom_killed"), "the finding is there")
    assert "its limit is 16Mi" in finding[0]["summary"]
    assert "Raise its memory limit from 16Mi to 64Mi" in finding[0]["fix"]
    held = await audited(scene, "restart", "suppressed")
    assert "it is killed for its memory again and again, which no restart cures" in held.message
    assert held.reason == "worker_oom_killed"
    assert "from 16Mi to 64Mi" in (await told(cluster, NAME, "WorkerOOMKilled"))["message"]
    assert "no restart cures" in (await told(cluster, NAME, "RestartRefused"))["message"]
    await watch.shows('gradewatch_finding_active{code="worker_oom_killed"}', 1)
    refused = 'gradewatch_remediations_total{action="restart",outcome="suppressed"}'
    await until(partial(watch.metric, refused), "it counts that it held back")
    assert cluster.faults.seen["create", "pods/eviction"] == cluster.faults.seen["delete", "pods"] == 0


async def test_a_worker_was_never_deployed(scene: Scene, cluster: StandIn) -> None:
    [job] = await scene.submit(1, papers=3)
    watch = scene.start("watch", TIMEOUTS__SCHEDULE_TO_START="4s")
    await acts(watch)
    await scene.finished([job])
    failed = await scene.job(job)
    assert failed.state is JobState.FAILED
    assert failed.error is not None
    assert f"the Deployment {NAME} does not exist in namespace default" in failed.error.message
    held = await audited(scene, "restart", "suppressed")
    assert (held.subject, held.reason) == (NAME, "worker_never_seen")
    assert held.message.endswith("and work waits (it does not exist)")
    assert "does not exist" in (await told(cluster, NAME, "WorkerNeverSeen"))["message"]
    await watch.shows('gradewatch_finding_active{code="worker_never_seen"}', 1)
    status, body = await watch.get("/api/worker_status")
    assert status == 503
    assert json.loads(body)["worker_configured"] is False
