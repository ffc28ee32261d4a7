"""PURE. A queue that another application owns: why it waits, where no worker opens a session; and what is odd in it."""

from __future__ import annotations

from collections.abc import Iterator

from gradewatch.diagnose.view import View
from gradewatch.history import credited_age
from gradewatch.model import Code, Finding, Severity

PATIENCE = 0.2  # of schedule_to_start: a loop that looks now and then is not gone because a job is new
LONGEST_PATIENCE = 60.0  # seconds


def findings(view: View) -> Iterator[Finding]:
    """Rows that cannot be understood, and jobs that two workers worked on."""
    facts = view.facts.foreign
    if facts is None:
        return
    name = view.queue.name
    if facts.unreadable:
        yield view.finding(
            Code.STORE_SCHEMA_MISMATCH,
            Severity.WARNING,
            f"{len(facts.unreadable)} job(s) of {name} cannot be understood, and are left alone",
            facts.unreadable,
            f"Mend these rows, or tell gradewatch what they mean: queues.{name}.fields and queues.{name}.words. All "
            "other jobs are watched and repaired.",
            "gradewatch check-config",
        )
    if facts.behind:
        yield view.finding(
            Code.CLOCK_SKEW,
            Severity.WARNING,
            f"The application that writes {name} dates its jobs {facts.behind:.0f} s into the past",
            (f"a new job was dated {facts.behind:.0f} s before a look at which it was not there",),
            "Check NTP where that application runs. Ages are counted from when its jobs can have been made, so that "
            "none is failed for it.",
            "timedatectl status",
        )
    for job_id, seen in facts.run_twice:
        yield Finding(
            Code.JOB_RUN_TWICE,
            Severity.WARNING,
            job_id,
            f"Job {job_id} was worked on by two workers",
            (seen,),
            "Its result may be of either, and what it cost was paid twice. Let the workers claim in one guarded write "
            "(an update that names the state it expects), and write under the claim they hold.",
            f"gradewatch jobs show {job_id}",
            queue=name,
        )


def backlog(view: View) -> Iterator[Finding]:
    """Nobody tells us of workers: whether jobs are being started is what there is to go by."""
    patience = min(LONGEST_PATIENCE, PATIENCE * view.queue.timeouts.schedule_to_start)
    if view.facts.unclaimed_since is None or view.waited <= patience:
        return
    stats = view.facts.stats
    started = stats.last_started_at
    quiet = credited_age(started, stats.now, view.control.credits) if started else None
    waiting = f"{stats.pending} pending, the oldest for {view.waited:.0f} s"
    if stats.running or (quiet is not None and quiet < view.waited):
        yield _slow(view, waiting, quiet)
    elif view.ever_seen:
        yield view.finding(
            Code.WORKER_NOT_RUNNING,
            Severity.CRITICAL,
            f"Nothing takes jobs from {view.queue.name}: its worker is not running",
            (waiting, "nothing is running, and nothing was started while they waited"),
            "Start the application's worker; its first log lines say why it ended. Beats would tell sooner: "
            "gradewatch.heartbeat() in the worker, or POST /api/heartbeat/NAME.",
            f"gradewatch jobs list --queue {view.queue.name} --state pending",
        )
    else:
        yield view.finding(
            Code.WORKER_NEVER_SEEN,
            Severity.CRITICAL,
            f"No worker has ever taken a job from {view.queue.name}: it was never deployed, or it looks elsewhere",
            (waiting, "no job of this queue was ever started"),
            "Deploy the application's worker, with the same database settings as the backend that writes the jobs.",
            f"gradewatch jobs list --queue {view.queue.name} --state pending",
        )


def _slow(view: View, waiting: str, quiet: float | None) -> Finding:
    since = "none was started that still runs" if quiet is None else f"the last one was started {quiet:.0f} s ago"
    return view.finding(
        Code.WORKERS_SATURATED,
        Severity.WARNING,
        f"{view.queue.name} takes in more than its workers finish: {view.facts.stats.running} running, and work waits",
        (waiting, since),
        "Run more workers. If the running jobs do not move, their worker hangs: its log and start_to_close decide.",
        f"gradewatch jobs list --queue {view.queue.name} --state running",
    )
