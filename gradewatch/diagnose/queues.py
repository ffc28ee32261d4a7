"""PURE. Why the jobs of one queue wait: nobody there, everybody busy, somebody idle, or nobody meant to come."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gradewatch.diagnose import foreign
from gradewatch.diagnose.view import View
from gradewatch.history import credited_age
from gradewatch.model import Code, Finding, Severity, Source, Verdict

SATURATED_SHARE = 0.2  # of schedule_to_start: a shorter wait with all slots busy is an ordinary rush


def findings(view: View) -> Iterator[Finding]:
    yield from _paused(view)
    yield from _backlog(view)


def _paused(view: View) -> Iterator[Finding]:
    name, pause = view.queue.name, view.control.pause
    if view.queue.paused:
        yield view.finding(
            Code.QUEUE_PAUSED,
            Severity.INFO,
            f"{name} is paused in the settings: no worker claims from it",
            (f"{view.facts.stats.pending} pending",),
            f"Set queues.{name}.paused = false to go on.",
        )
    elif pause:
        until = f"until {pause.until:%Y-%m-%d %H:%M:%S} UTC" if pause.until else "until somebody resumes"
        yield view.finding(
            Code.QUEUE_PAUSED,
            Severity.INFO,
            f"Repairs of {name} are paused {until}",
            (f"paused by {pause.by}" + (f": {pause.reason}" if pause.reason else ""),),
            "Observation goes on, and the pause is credited to every waiting job. Resume when the work is done.",
            "gradewatch resume",
        )


def _backlog(view: View) -> Iterator[Finding]:
    """The one cause of jobs waiting here, if they wait for a reason."""
    if view.queue.paused or view.starting or not view.workers_read:
        return
    if view.queue.foreign is not None and not any(w.session.source is Source.BEATS for w in view.workers):
        yield from foreign.backlog(view)
        return
    if not view.live:
        if all(w.verdict is not Verdict.UNKNOWN for w in view.workers):
            yield from _nobody(view)
    elif view.facts.unclaimed_since is not None:
        slots = sum(w.session.slots for w in view.live)
        busy = sum(min(w.session.busy, w.session.slots) for w in view.live)
        if busy >= slots and view.waited > SATURATED_SHARE * view.queue.timeouts.schedule_to_start:
            yield _saturated(view, slots)
        elif busy < slots:
            yield from _wedged(view)


def _nobody(view: View) -> Iterator[Finding]:
    stats, name = view.facts.stats, view.queue.name
    waiting = f"{stats.pending} pending" + (f", the oldest eligible one for {view.waited:.0f} s" if view.waited else "")
    told = [t for t in view.targets if t.problem]
    problems = tuple(f"{t.name}: {t.problem}" for t in told)[:5]
    fix = next((t.fix for t in told if t.fix), "")
    meanwhile = tuple(
        f"a rescue worker runs its jobs meanwhile: {w.session.name}, {w.evidence}"
        for w in view.rescuers
        if w.verdict in (Verdict.ALIVE, Verdict.STARVED)
    )
    if not view.ever_seen and not view.workers:
        yield view.finding(
            Code.WORKER_NEVER_SEEN,
            Severity.CRITICAL if stats.pending else Severity.WARNING,
            f"No worker has ever been seen on {name}: "
            + (problems[0] if problems else "it was never deployed, or it looks at another store"),
            (waiting, "no session was ever opened for this queue", *problems, *meanwhile),
            fix
            or "Start a worker with the same store settings: `gradewatch worker`, or `gradewatch run` for worker and "
            "watch in one. If one runs, compare its store.url with this one's.",
            "gradewatch worker",
        )
    elif stats.pending or stats.running:
        lost = tuple(f"{w.session.name}: {w.evidence}" for w in view.workers)[:5]
        exits = tuple(f"{t.name}: {t.last_exit}" for t in view.targets if t.last_exit and not t.running)[:5]
        yield view.finding(
            Code.WORKER_NOT_RUNNING,
            Severity.CRITICAL,
            f"No worker is running for {name}",
            (waiting, *problems, *lost, *exits, *meanwhile),
            fix or "Start one; if it was started, its first log lines say why it ended.",
            "gradewatch worker",
        )


def _saturated(view: View, slots: int) -> Finding:
    wanted = workers_to_keep_up(view)
    have = len(view.live)
    advice = f"about {wanted} workers would keep up, {have} are running" if wanted else f"{have} are running"
    return view.finding(
        Code.WORKERS_SATURATED,
        Severity.WARNING,
        f"All {slots} slots for {view.queue.name} are busy and work waits: {advice}",
        (
            f"{view.facts.stats.pending} pending, {view.facts.stats.running} running",
            f"the oldest eligible one has waited {view.waited:.0f} s",
        ),
        "Run more workers, or give each more slots where CPU and memory allow.",
    )


def workers_to_keep_up(view: View) -> int | None:
    """Workers that would hold new arrivals and start the present backlog within schedule_to_start.

    Offered load in slots is arrival rate x mean run time (Little's law); the backlog adds its own work spread over the
    time it may wait. None while nothing has finished, so that no run time is known.
    """
    runs = [h for h in view.facts.stats.run_seconds.values() if h.count]
    finished = sum(h.count for h in runs)
    if not finished:
        return None
    mean_run = sum(h.total for h in runs) / finished
    backlog = view.facts.stats.pending * mean_run / view.queue.timeouts.schedule_to_start
    slots = (view.facts.arrival_rate or 0.0) * mean_run + backlog + view.facts.stats.running
    per_worker = max(1.0, sum(w.session.slots for w in view.live) / len(view.live))
    return max(len(view.live) + 1, math.ceil(slots / per_worker))


def _wedged(view: View) -> Iterator[Finding]:
    after, stats = view.settings.remediation.wedged_after, view.facts.stats
    idle = [w for w in view.live if w.verdict is Verdict.ALIVE and w.session.busy == 0]
    last = stats.last_started_at
    quiet = last is None or credited_age(last, stats.now, view.control.credits) > after
    if not idle or view.waited <= after or not quiet:
        return
    for worker in idle:
        if (stats.now - worker.session.started_at).total_seconds() > after:
            yield Finding(
                Code.WORKER_WEDGED,
                Severity.CRITICAL,
                worker.session.name,
                f"{worker.session.name} is alive and idle while work waits on {view.queue.name}",
                (
                    worker.evidence,
                    f"the oldest eligible job has waited {view.waited:.0f} s",
                    "no job was started",
                ),
                "It beats but claims nothing: restart it, and keep its log.",
                "gradewatch jobs list --state pending",
                queue=view.queue.name,
            )
