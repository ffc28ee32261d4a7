"""PURE. Which jobs are late, and which kill their workers?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gradewatch.diagnose.view import View
from gradewatch.history import late_by
from gradewatch.model import Code, Finding, JobRef, Severity


def findings(view: View) -> Iterator[Finding]:
    yield from _timed_out(view)
    yield from _poison(view)


def _timed_out(view: View) -> Iterator[Finding]:
    limits, name = view.queue.timeouts, view.queue.name
    late = [j for j in view.facts.overdue_pending if late_by(j, view.facts.stats.now, limits, view.control.credits) > 0]
    long = [j for j in view.facts.overdue_running if late_by(j, view.facts.stats.now, limits, view.control.credits) > 0]
    parts = []
    if late and not view.queue.paused:
        parts.append(f"{_count(late, view)} waited beyond schedule_to_start ({limits.schedule_to_start:.0f} s)")
    if long:
        parts.append(f"{_count(long, view)} ran beyond start_to_close ({limits.start_to_close:.0f} s)")
    if parts:
        yield view.finding(
            Code.JOB_TIMED_OUT,
            Severity.WARNING,
            f"{name}: " + "; ".join(parts),
            tuple(f"job {j.id}" for j in (*late, *long)[:5]),
            "Where the queue's settings say so they are failed with this reason, and nobody watches a spinner; "
            "the other findings on this queue say why they are late. `gradewatch undo SWEEP` puts them back.",
            f"gradewatch jobs list --queue {name} --state failed",
        )


def _count(jobs: Sequence[JobRef], view: View) -> str:
    return f"{'at least ' if view.facts.truncated else ''}{len(jobs)} job{'s' if len(jobs) != 1 else ''}"


def _poison(view: View) -> Iterator[Finding]:
    for job in view.facts.held_by_absent:
        if job.lost + 1 >= job.max_attempts:
            yield Finding(
                Code.JOB_POISON,
                Severity.CRITICAL,
                job.id,
                f"Job {job.id} was running when its worker died, {job.lost + 1} times",
                (f"{job.lost + 1} of {job.max_attempts} workers lost", f"last held by session {job.session_id}"),
                "Where the queue takes jobs back, it is failed as poison, so that it kills no further worker. "
                "Look at its papers, then requeue it by hand.",
                f"gradewatch jobs show {job.id}",
                queue=view.queue.name,
            )
