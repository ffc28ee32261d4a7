"""Scenarios that every store must come through alike, each over the scene of one store."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from chaos_kit import Scene, Service, later, until

from gradewatch.model import Credit, Job, JobState, NewSession, Outcome, Session

AWAY = 7.0  # seconds: several heartbeat timeouts, and longer than any job may wait
IMPATIENT = {"TIMEOUTS__SCHEDULE_TO_START": "6500ms", "TIMEOUTS__HEARTBEAT": "2500ms", "STORE__TIMEOUT": "1s"}
Outage = Callable[[Any], AbstractAsyncContextManager[None]]  # of a scene


async def supervised_worker_killed(
    scene: Scene, *, papers: int, environ: Mapping[str, str] | None = None
) -> tuple[Job, Session]:
    """kill -9 in mid-job under `gradewatch run`. Gives the job as it was then, and the session of the killed worker."""
    ids = await scene.submit(2, papers=papers)
    run = scene.start("run", environ=environ)
    job = await scene.half_way(ids[0])
    victim = await scene.session_of(job)
    os.kill(victim.pid, signal.SIGKILL)

    await scene.graded_once(ids)
    again = await scene.job(job.id)
    assert (again.lost, again.attempt, again.token) == (1, 2, 2)
    await until(lambda: run.lines("restart verified", worker="worker-1"), "the restart is verified")
    assert await scene.story() == [("requeue", "applied", job.id), ("restart", "applied", "worker-1")]
    requeue, restart = await scene.audit()
    assert requeue.sweep == restart.sweep
    assert "killed by SIGKILL" in requeue.message
    assert requeue.before is not None
    assert requeue.before["state"] == "running"
    assert restart.verified is True
    return job, victim


async def worker_stopped_and_continued(scene: Scene, *, papers: int) -> None:
    """Its late write must be refused, and it must find its way back to work."""
    ids = await scene.submit(2, papers=papers)
    workers = {service.pid: service for service in (scene.start("worker"), scene.start("worker"))}
    scene.start("watch")
    await scene.workers(2)
    job = await scene.half_way(ids[0])
    stopped = workers[(await scene.session_of(job)).pid]
    await scene.freeze(stopped.pid)
    before = await scene.job(job.id)
    assert before.state is JobState.RUNNING
    await scene.finished(ids)  # by the other one
    os.kill(stopped.pid, signal.SIGCONT)

    (back,) = await until(lambda: stopped.lines("job taken back", job=job.id), "the worker gives up the job")
    assert "no longer held" in back["why"] or "the watch ended this worker's session" in back["why"]
    await until(lambda: stopped.lines("session ended by the watch"), "it learns of its session's end")
    await until(lambda: stopped.lines("session reopened"), "it opens another session")
    (other,) = (service for service in workers.values() if service is not stopped)
    other.kill(signal.SIGTERM)
    more = await scene.submit(1, papers=5)
    await until(lambda: stopped.lines("job finished", job=more[0]), "it works again")
    await scene.graded_once([*ids, *more])
    assert not stopped.lines("job finished", job=job.id)
    assert await scene.story() == [("requeue", "applied", job.id)]


async def watch_killed_in_mid_repair(scene: Scene, *, lost: int, budget: int, begun: int) -> None:
    """So many jobs are lost and may be taken back until somebody raises the budget; the watch dies once it has `begun`.
    No job is repaired twice, none forgotten, and what the killed watch has spent stays spent."""
    ids = await scene.submit(lost, papers=1)
    await claim_and_vanish(scene, lost)
    limits = {"REMEDIATION__BUDGET__REQUEUE": f"{budget}/10m", "REMEDIATION__BATCH": "1"}
    first = scene.start("watch", **limits)
    await until(lambda: scene.count("audit", outcome="applied") >= begun, "the repair has begun")
    first.kill()
    await first.ended()
    assert scene.count("audit", outcome="applied") < budget, "the watch was killed too late for this test"

    second = scene.start("watch", **limits)
    await until(lambda: second.lines("finding", code="remediation_budget_spent"), "the budget is spent")
    assert scene.count("audit", outcome="applied") == budget
    assert scene.count("jobs", state="running") == lost - budget
    second.kill()

    scene.start("watch", REMEDIATION__BUDGET__REQUEUE=f"{2 * lost}/10m")
    await until(lambda: scene.count("jobs", state="running") == 0, "the rest is taken back")
    applied = [e for e in await scene.audit("requeue") if e.outcome is Outcome.APPLIED]
    assert Counter(e.subject for e in applied) == Counter(ids)
    assert {e.before["state"] for e in await scene.audit("requeue") if e.before} == {"running"}
    assert len({e.by for e in applied}) == 3
    assert len({e.sweep for e in applied}) >= 3
    scene.start("worker")
    await scene.graded_once(ids)


async def claim_and_vanish(scene: Scene, jobs: int) -> None:
    """A worker that claims them, beats once, and is never heard of again."""
    session = await scene.store.open_session(
        NewSession(name="vanished", queues=("default",), slots=jobs, host="elsewhere", pid=1, version="0")
    )
    assert len(await scene.store.claim(session, ["default"], ["grade"], jobs)) == jobs
    await scene.store.beat(session, loop_age=0.0, busy=jobs)


async def store_taken_away(scene: Scene, taken_away: Outage, *, answers: bool = False) -> None:
    """In mid-job, for `AWAY` seconds: worker and watch outlast it, everybody is told, and nobody is blamed for it.
    `answers`: the store itself does, but the jobs cannot be had."""
    worker, watch = scene.start("worker", **IMPATIENT), scene.start("watch", **IMPATIENT)
    (session,) = await scene.workers(1)
    await until(lambda: _status(watch), "the watch has seen the worker")
    first, second = await scene.submit(2, papers=80)
    await scene.half_way(first)
    up = f'gradewatch_store_up{{store="{scene.store.kind}"}}'

    async with taken_away(scene):
        await until(lambda: watch.lines("finding", code="store_unreachable"), "the watch says so")
        body = await until(lambda: _refusal(watch, "/api/worker_status"), "nobody can be said to work")
        assert json.loads(body)["worker_running"] is False
        assert json.loads(body)["error"]
        if not answers:
            await until(lambda: _refusal(watch, "/readyz"), "it is not ready")
        doctor = json.loads((await scene.run("doctor", "--json", code=1 if answers else 2)).stdout)
        assert doctor["summary"].startswith("Cannot tell how"), "doctor, which changes nothing, sees it too"
        assert doctor["status"] == ("findings" if answers else "cannot_tell")
        assert [f["code"] for f in doctor["findings"] if f["code"].startswith("store_")], "and says what it is"
        await watch.shows(up, answers)
        assert (await watch.get("/livez"))[0] == 200
        await until(later(AWAY), "the outage lasts")

    await until(lambda: watch.lines("finding gone", code="store_unreachable"), "the watch says that it is over")
    await watch.cycles(2)  # of which one acts
    await watch.shows(up, 1)
    watch.kill(signal.SIGTERM)  # before the jobs have waited too long without any outage
    await watch.ended()
    await scene.graded_once([first, second])
    assert len(worker.lines("store back")) <= 3, "one outage is told once, or twice for each way to the store"
    assert await scene.story() == [], "nobody was failed or taken back for it"
    assert [s.id for s in await scene.store.sessions()] == [session.id], "nor was its worker given up"
    credit = await until(lambda: _credited(scene), "the outage is credited")
    assert credit.kind == "outage"


async def _status(watch: Service) -> bool:
    return (await watch.get("/api/worker_status"))[0] == 200


async def _refusal(watch: Service, path: str) -> str | None:
    """The body of a 503. A good answer may be a second old."""
    status, body = await watch.get(path)
    return body if status == 503 else None


async def _credited(scene: Scene) -> Credit | None:
    """The longest span that was credited, once it is about as long as the outage."""
    credits = (await scene.store.control({})).credits
    return next((c for c in credits if (c.end - c.start).total_seconds() >= AWAY), None)
