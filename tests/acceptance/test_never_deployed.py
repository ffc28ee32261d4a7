"""The incident this product was made for: a queue whose worker never ran."""

from __future__ import annotations

import json

import pytest
from chaos_kit import EXAM, TYPED, Scene, until

from gradewatch.model import JobState

pytestmark = pytest.mark.acceptance


async def test_a_queue_whose_worker_never_ran(scene: Scene) -> None:
    submitted = await scene.run("submit", *map(str, TYPED), "--rubric", str(EXAM / "rubric.yaml"))
    ids = [submitted.stdout.strip()]
    told = await scene.run("doctor", "--json", code=1)
    (finding,) = (f for f in json.loads(told.stdout)["findings"] if f["code"] == "worker_never_seen")
    assert finding["severity"] == "critical"
    assert finding["command"] == "gradewatch worker"
    assert "No worker has ever been seen on default" in (await scene.run("doctor", code=1)).stdout

    watch = scene.start("watch", TIMEOUTS__SCHEDULE_TO_START="3s")
    await scene.finished(ids)
    job = await scene.job(ids[0])
    assert job.error is not None
    assert (job.state, job.error.code) == (JobState.FAILED, "schedule_to_start")
    assert "3s allowed; cause: No worker has ever been seen on default" in job.error.message
    assert "(worker_never_seen)" in job.error.message
    (expiry,) = await scene.audit()
    assert (expiry.action, expiry.outcome.value, expiry.subject) == ("expire", "applied", job.id)

    await scene.run("pause", "--for", "5m")
    await scene.run("undo", expiry.sweep)
    back = await scene.job(job.id)
    assert (back.state, back.error, back.attempt) == (JobState.PENDING, None, 0)
    scene.start("worker")
    await scene.graded_once(ids)
    assert [(e.action, e.outcome.value, bool(e.undone_at)) for e in await scene.audit()] == [
        ("expire", "applied", True),
        ("undo", "applied", False),
    ]
    await until(lambda: watch.lines("finding gone", code="worker_never_seen"), "the finding goes")
    healthy = await scene.run("doctor", "--json")
    assert [f["severity"] for f in json.loads(healthy.stdout)["findings"]] == ["info"]  # the pause
