"""Overview: is anything wrong, and where? For the first minute after a page."""

from __future__ import annotations

from grafana_foundation_sdk.builders import stat
from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from grafana.frame import frame
from grafana.panels import BAD_ABOVE_ZERO, GOOD_ABOVE_ZERO, NS, Q, graph, number


def dashboard() -> Dashboard:
    board = frame(
        "gradewatch-overview",
        "Gradewatch: overview",
        "Are jobs done in time, by living workers, without failing? Repairs and pages are marked on every graph.",
    )
    for panel in _numbers():
        board = board.with_panel(panel)
    board = _rate_and_errors(board.with_row(Row("Rate and errors")))
    board = _duration(board.with_row(Row("Duration")))
    return _saturation(board.with_row(Row("Saturation and cause")))


def _numbers() -> list[stat.Panel]:
    age = f"queue:gradewatch_queue_oldest_pending_age_seconds:max{{{Q}}}"
    slo = f"queue:gradewatch_queue_slo_seconds:max{{{Q}}}"
    depth = f'queue_state:gradewatch_queue_depth:max{{{Q}, state="pending"}}'
    return [
        number(
            "Oldest wait / promise",
            "The longest wait of a job that could start, as a share of what its queue promises (schedule_to_start). "
            "From 100 % on the promise is broken.",
            "percentunit",
            f"max({age} / {slo})",
            ((None, "green"), (0.5, "yellow"), (1, "red")),
        ),
        number("Pending", "Jobs that wait, in all queues shown.", "short", f"sum({depth})"),
        number(
            "Live workers",
            "Workers that are alive or starved. One that serves several queues counts in each.",
            "short",
            f"sum(queue:gradewatch_workers_live:sum{{{Q}}})",
            GOOD_ABOVE_ZERO,
        ),
        number(
            "Failed, 30 min",
            "The worst queue's share of failed jobs among those that finished in the last 30 minutes. "
            "Empty while none has finished.",
            "percentunit",
            f"max(queue:gradewatch_jobs_failed:ratio30m{{{Q}}})",
            ((None, "green"), (0.05, "yellow"), (0.25, "red")),
        ),
        number(
            "Error budget left, 3 days",
            "99 of 100 jobs are promised to start in time: how much of the one of 100 is left, by the last three days. "
            "Below zero the promise is broken. Empty while no job has started.",
            "percentunit",
            f"min(1 - queue:gradewatch_jobs_late:ratio3d{{{Q}}} / 0.01)",
            ((None, "red"), (0, "yellow"), (0.25, "green")),
        ),
        number(
            "Age of data",
            "How old the best watch's oldest reading is. Above a minute nothing else on this page can be trusted.",
            "s",
            f"max(job:gradewatch_reading_age_seconds:min{{{NS}}})",
            ((None, "green"), (30, "yellow"), (60, "red")),
        ),
    ]


def _rate_and_errors(board: Dashboard) -> Dashboard:
    finished = f"queue_outcome:gradewatch_jobs_finished:rate5m{{{Q}}}"
    return (
        board.with_panel(
            graph(
                "Jobs in and out",
                "Submitted and finished by queue. In above out for long means that the queue grows.",
                "opm",
                {
                    "{{queue}} submitted": f"60 * sum by (queue) (queue:gradewatch_jobs_enqueued:rate5m{{{Q}}})",
                    "{{queue}} finished": f"60 * sum by (queue) ({finished})",
                },
                width=8,
            )
        )
        .with_panel(
            graph(
                "Jobs finished by outcome",
                "Succeeded, failed and cancelled, in all queues shown.",
                "opm",
                {"{{outcome}}": f"60 * sum by (outcome) ({finished})"},
                width=8,
                stacked=True,
            )
        )
        .with_panel(
            graph(
                "Papers by outcome",
                "Papers done: graded, needs_review (a person should look), failed. Of all queues.",
                "opm",
                {"{{outcome}}": f"60 * sum by (outcome) (outcome:gradewatch_papers_graded:rate5m{{{NS}}})"},
                width=8,
                stacked=True,
            )
        )
    )


def _duration(board: Dashboard) -> Dashboard:
    wait = f"sum by (le, queue) (queue_le:gradewatch_job_wait_seconds_bucket:rate5m{{{Q}}})"
    run = f"sum by (le, queue) (queue_le:gradewatch_job_run_seconds_bucket:rate5m{{{Q}}})"
    return board.with_panel(
        graph(
            "Wait before start",
            "Half of the jobs that started waited less than p50, 95 of 100 less than p95. It says nothing of jobs that "
            "were never started: for those, see the oldest wait. Empty while no job starts.",
            "s",
            {
                "{{queue}} p50": f"histogram_quantile(0.5, {wait})",
                "{{queue}} p95": f"histogram_quantile(0.95, {wait})",
            },
        )
    ).with_panel(
        graph(
            "Run time",
            "How long finished jobs ran. Empty while none finishes.",
            "s",
            {
                "{{queue}} p50": f"histogram_quantile(0.5, {run})",
                "{{queue}} p95": f"histogram_quantile(0.95, {run})",
            },
        )
    )


def _saturation(board: Dashboard) -> Dashboard:
    busy, slots = "queue:gradewatch_worker_slots_busy:max", "queue:gradewatch_worker_slots:max"
    return (
        board.with_panel(
            graph(
                "Busy slots",
                "Share of the live workers' slots that run a job. At 100 % with a growing queue: start more workers. "
                "Empty while there is no live worker.",
                "percentunit",
                {"{{queue}}": f"sum by (queue) ({busy}{{{Q}}}) / (sum by (queue) ({slots}{{{Q}}}) > 0)"},
                width=8,
            )
        )
        .with_panel(
            graph(
                "Workers by verdict",
                "alive, starved (its event loop stands still), suspect (silent), dead (proved), unknown.",
                "short",
                {"{{verdict}}": f"sum by (verdict) (queue_verdict:gradewatch_workers:max{{{Q}}})"},
                width=8,
                stacked=True,
            )
        )
        .with_panel(
            graph(
                "Findings that stand",
                "Why: each code has a page in the runbooks (link above). Empty while all is well.",
                "short",
                {"{{code}}": f"max by (code) (code:gradewatch_finding_active:max{{{NS}}}) > 0"},
                BAD_ABOVE_ZERO,
                width=8,
            )
        )
    )
