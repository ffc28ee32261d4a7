"""One row for each queue: its states, its oldest job against its promise, how long jobs wait, and how far it is."""

from __future__ import annotations

from grafana_foundation_sdk.builders import heatmap, stat, timeseries
from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from grafana.frame import frame
from grafana.panels import GOOD_ABOVE_ZERO, Q, against, graph, heat, number


def dashboard() -> Dashboard:
    board = frame(
        "gradewatch-queue",
        "Gradewatch: queue",
        "Each queue by itself: choose which at the top. Dashed lines are the queue's own promise.",
    )
    board = board.with_row(Row("$queue").repeat("queue"))
    for panel in (*_progress(), *_graphs()):
        board = board.with_panel(panel)
    return board


def _progress() -> list[stat.Panel]:
    finished = f"max without (instance, pod) (increase(gradewatch_jobs_finished_total{{{Q}}}[$__range]))"
    submitted = f"max without (instance, pod) (increase(gradewatch_jobs_enqueued_total{{{Q}}}[$__range]))"
    depth = f"queue_state:gradewatch_queue_depth:max{{{Q}}}"
    return [
        number("Submitted", "Jobs submitted in the time shown.", "short", f"sum({submitted})"),
        number("Finished", "Jobs finished in the time shown, whatever came of them.", "short", f"sum({finished})"),
        number("Not finished", "Jobs pending and running now.", "short", f"sum({depth})"),
        number(
            "Empty in",
            "When the queue would be empty at the present pace, if nothing more came. Empty while nothing finishes.",
            "s",
            f"sum({depth}) / (sum(queue_outcome:gradewatch_jobs_finished:rate5m{{{Q}}}) > 0)",
        ),
        number(
            "Live workers",
            "Workers of this queue that are alive or starved.",
            "short",
            f"sum(queue:gradewatch_workers_live:sum{{{Q}}})",
            GOOD_ABOVE_ZERO,
        ),
        number(
            "Retries",
            "Attempts in the time shown that ended in another try.",
            "short",
            f"sum(max without (instance, pod) (increase(gradewatch_job_retries_total{{{Q}}}[$__range])))",
        ),
    ]


def _graphs() -> list[timeseries.Panel | heatmap.Panel]:
    slo = f"max(queue:gradewatch_queue_slo_seconds:max{{{Q}}})"
    finished = f"queue_outcome:gradewatch_jobs_finished:rate5m{{{Q}}}"
    return [
        graph(
            "States",
            "Jobs pending and running.",
            "short",
            {"{{state}}": f"sum by (state) (queue_state:gradewatch_queue_depth:max{{{Q}}})"},
            stacked=True,
        ),
        against(
            "Oldest job that waits",
            "Its age; the dashed line is schedule_to_start. It grows while the queue cannot be read.",
            "s",
            {"waits": f"max(queue:gradewatch_queue_oldest_pending_age_seconds:max{{{Q}}})"},
            slo,
        ),
        heat(
            "How long jobs waited",
            "Jobs started per second by the time they had waited. Empty while no job starts.",
            f"sum by (le) (queue_le:gradewatch_job_wait_seconds_bucket:rate5m{{{Q}}})",
        ),
        graph(
            "Late starts against the budget",
            "Share of started jobs that started later than promised, over an hour and over three days; 1 % may. "
            "Empty while no job starts.",
            "percentunit",
            {
                "1 h": f"max(queue:gradewatch_jobs_late:ratio1h{{{Q}}})",
                "3 days": f"max(queue:gradewatch_jobs_late:ratio3d{{{Q}}})",
            },
            ((None, "green"), (0.01, "red")),
        ),
        graph(
            "In and out",
            "Jobs submitted, and finished by outcome.",
            "opm",
            {
                "submitted": f"60 * sum(queue:gradewatch_jobs_enqueued:rate5m{{{Q}}})",
                "{{outcome}}": f"60 * sum by (outcome) ({finished})",
            },
        ),
        graph(
            "Oldest job that runs",
            "How long the longest-running job has run. The watch ends it at start_to_close.",
            "s",
            {"runs": f"max(queue:gradewatch_queue_oldest_running_age_seconds:max{{{Q}}})"},
        ),
    ]
