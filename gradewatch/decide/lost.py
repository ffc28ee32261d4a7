"""PURE. Jobs of lost workers: taken back, or failed where taking them back cannot help."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from gradewatch.config import QueueSettings
from gradewatch.decide.actions import job_action
from gradewatch.model import (
    Action,
    ActionKind,
    Code,
    Diagnosis,
    JobError,
    JobRef,
    Known,
    Sight,
    Snapshot,
    Unknown,
    WorkerVerdict,
)
from gradewatch.verdicts import absent

OUTLIVED = 15.0  # seconds by which a job must be older than every process, for a start takes time to be seen


def lost_jobs(snapshot: Snapshot, diagnosis: Diagnosis) -> Mapping[str, Sequence[JobRef]]:
    """By queue, what lost workers hold. Rests on the workers' reading: Unknown blocks it."""
    if isinstance(snapshot.workers, Unknown):
        return {}
    gone, judged = absent(diagnosis.verdicts), {v.session.id for v in diagnosis.verdicts}
    return {
        name: [j for j in reading.value.held_by_absent if j.session_id in gone or j.session_id not in judged]
        for name, reading in snapshot.queues.items()
        if isinstance(reading, Known)
    }


def outlived(snapshot: Snapshot) -> Mapping[str, Sequence[tuple[JobRef, str]]]:
    """By queue, running jobs of another application that were started before every process that could be running them:
    the platform proves that theirs has ended. Both are ages, each by its own clock; no two clocks are compared."""
    if not isinstance(snapshot.platform, Known):
        return {}
    found: dict[str, list[tuple[JobRef, str]]] = {}
    for name, reading in snapshot.queues.items():
        serving = [t for t in snapshot.platform.value if name in t.queues]
        if isinstance(reading, Unknown) or reading.value.foreign is None or not serving:
            continue
        if any(t.sight is Sight.NONE for t in serving):
            continue  # how old its process is, nobody sees
        oldest = max((t.running_seconds + t.may_be_older for t in serving if t.running), default=0.0)
        words = f"no process that serves {name} is older than {oldest:.0f} s: the one that ran it has ended"
        found[name] = [
            (job, f"it has run for {ran:.0f} s, and {words}")
            for job in reading.value.foreign.unattributed
            if job.started_at is not None
            and (ran := (reading.value.stats.now - job.started_at).total_seconds()) > oldest + OUTLIVED
        ]
    return found


def recoveries(
    queue: QueueSettings, held: Sequence[JobRef], diagnosis: Diagnosis, together: Mapping[str | None, int]
) -> Iterator[Action]:
    """`together`: how many jobs, of all queues, each lost session held: one of several may have killed it."""
    if queue.on_lost == "keep" or not held:
        return
    workers = {v.session.id: v for v in diagnosis.verdicts}
    for job in held:
        words = _lost_words(job, workers.get(job.session_id or ""))
        yield recover(queue, job, words, alone=together[job.session_id] > 1)


def _lost_words(job: JobRef, worker: WorkerVerdict | None) -> str:
    if worker is None:
        return f"the session that held it ({job.session_id}) has ended"
    return f"{worker.session.name}, which held it, is {worker.verdict.value}: {worker.evidence}"


def recover(queue: QueueSettings, job: JobRef, words: str, *, alone: bool) -> Action:
    deaths = job.lost + 1
    if deaths >= job.max_attempts:
        text = (
            f"It was running when its worker died, {deaths} times, and is kept from killing another. Last: {words}. "
            "Look at its papers, then requeue it by hand."
        )
        return job_action(ActionKind.FAIL, job, Code.JOB_POISON, words, JobError("job_poison", text))
    if job.attempt >= job.max_attempts:
        text = f"Its last attempt ({job.attempt} of {job.max_attempts}) was lost with its worker: {words}."
        return job_action(ActionKind.FAIL, job, Code.WORKER_NOT_RUNNING, words, JobError("attempts_exhausted", text))
    if queue.on_lost == "fail":
        text = f"Its worker was lost ({words}), and this queue fails such jobs (on_lost = fail)."
        return job_action(ActionKind.FAIL, job, Code.WORKER_NOT_RUNNING, words, JobError("worker_lost", text))
    return Action(ActionKind.REQUEUE, job.queue, Code.WORKER_NOT_RUNNING, words, job=job, run_alone=alone)
