"""Gradewatch itself: does it see, does it act, do its repairs help, and do its providers answer?"""

from __future__ import annotations

from grafana_foundation_sdk.builders import stat
from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from grafana.frame import frame
from grafana.panels import GOOD_ABOVE_ZERO, NS, graph, number, states

NO_PROVIDER = "Empty while no provider is configured: grading is local then."


def dashboard() -> Dashboard:
    board = frame(
        "gradewatch-itself",
        "Gradewatch: itself",
        "The watch, its workers' beats, its repairs and its providers.",
        queues=False,
    )
    for panel in _numbers():
        board = board.with_panel(panel)
    board = _seeing(board.with_row(Row("Does it see?")))
    board = _acting(board.with_row(Row("Does it act, and does that help?")))
    return _providers(board.with_row(Row("Providers")))


def _numbers() -> list[stat.Panel]:
    return [
        number(
            "Watches",
            "Watches that Prometheus reaches.",
            "short",
            f'sum(up{{job="gradewatch", {NS}}})',
            GOOD_ABOVE_ZERO,
        ),
        number(
            "Leader",
            "One watch acts, by a lease in the store. None: nothing is repaired.",
            "short",
            f"max(job:gradewatch_leader:sum{{{NS}}})",
            ((None, "red"), (1, "green"), (2, "red")),
        ),
        number(
            "Store",
            "1: every watch reached the store in its last cycle.",
            "bool_on_off",
            f"min(gradewatch_store_up{{{NS}}})",
            GOOD_ABOVE_ZERO,
        ),
        number(
            "Last cycle",
            "Time since the slowest watch ended a cycle.",
            "s",
            f"max(time() - gradewatch_cycle_last_timestamp_seconds{{{NS}}})",
            ((None, "green"), (30, "yellow"), (60, "red")),
        ),
        number(
            "Repairs left",
            "The smallest budget: at nought that repair has stopped.",
            "short",
            f"min(action:gradewatch_remediation_budget_remaining:min{{{NS}}})",
            GOOD_ABOVE_ZERO,
        ),
        number(
            "Versions",
            "Different versions that run. More than one for long: a deployment is stuck.",
            "short",
            f"count(count by (version) (gradewatch_build_info{{{NS}}}))",
            ((None, "green"), (2, "yellow")),
        ),
    ]


def _seeing(board: Dashboard) -> Dashboard:
    return (
        board.with_panel(
            states(
                "Probes",
                "Could each probe read? A failed probe is Unknown, and nothing is repaired on an Unknown.",
                {"{{instance}} {{probe}}": f"min by (instance, probe) (gradewatch_probe_success{{{NS}}})"},
                {1: ("reads", "green"), 0: ("fails", "red")},
            )
        )
        .with_panel(
            graph(
                "Age of readings",
                "By watch, the oldest of store, queue and workers. From a minute on it pages.",
                "s",
                {"{{instance}}": f"max by (instance) (instance:gradewatch_reading_age_seconds:max{{{NS}}})"},
                ((None, "green"), (60, "red")),
            )
        )
        .with_panel(
            graph(
                "Time of probes",
                "How long each took in the last cycle.",
                "s",
                {"{{instance}} {{probe}}": f"max by (instance, probe) (gradewatch_probe_duration_seconds{{{NS}}})"},
            )
        )
        .with_panel(
            graph(
                "Workers' last beats",
                "Time since the store accepted each worker's last beat, as the workers say. "
                "Empty where Prometheus does not scrape workers (worker.http_port).",
                "s",
                {
                    "{{instance}}": f"time() - (gradewatch_worker_last_heartbeat_timestamp_seconds{{{NS}}} > 0)"
                    f" and gradewatch_worker_up{{{NS}}} == 1"
                },
                ((None, "green"), (60, "red")),
            )
        )
    )


def _acting(board: Dashboard) -> Dashboard:
    left = f"min by (action) (action:gradewatch_remediation_budget_remaining:min{{{NS}}})"
    jobs = f"sum by (action) (increase(gradewatch_remediation_jobs_total{{{NS}}}[$__rate_interval]))"
    total = f"sum by (action, outcome) (increase(gradewatch_remediations_total{{{NS}}}[$__rate_interval]))"
    return (
        board.with_panel(
            graph(
                "Repairs",
                "What came of each: applied, noop (somebody was faster), failed, suppressed (by a limit), dry_run.",
                "short",
                {"{{action}} {{outcome}}": f"{total} > 0"},
                width=8,
            )
        )
        .with_panel(graph("Jobs repaired", "Jobs that a repair changed.", "short", {"{{action}}": jobs}, width=8))
        .with_panel(
            graph(
                "Budgets left",
                "Repairs left in each window. At nought it pages.",
                "short",
                {"{{action}}": left},
                width=8,
            )
        )
    )


def _providers(board: Dashboard) -> Dashboard:
    requests = f"sum by (provider, outcome) (provider_outcome:gradewatch_provider_requests:rate5m{{{NS}}})"
    seconds = f"sum by (le, provider) (provider_le:gradewatch_provider_request_seconds_bucket:rate5m{{{NS}}})"
    tokens = f"sum by (provider, direction) (rate(gradewatch_provider_tokens_total{{{NS}}}[$__rate_interval]))"
    return (
        board.with_panel(
            graph(
                "Calls",
                f"ok, rate_limited, timeout, error. {NO_PROVIDER}",
                "opm",
                {"{{provider}} {{outcome}}": f"60 * {requests}"},
                width=8,
            )
        )
        .with_panel(
            graph(
                "Time of calls, p95",
                f"95 of 100 calls were quicker. {NO_PROVIDER}",
                "s",
                {"{{provider}}": f"histogram_quantile(0.95, {seconds})"},
                width=8,
            )
        )
        .with_panel(
            graph(
                "Tokens",
                f"Tokens per minute sent (input) and received (output). {NO_PROVIDER}",
                "cpm",
                {"{{provider}} {{direction}}": f"60 * {tokens}"},
                width=8,
            )
        )
    )
