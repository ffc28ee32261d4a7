"""Every metric family made from what a cycle saw: name, type, help, labels.

The names are public (dashboards and alerts hang on them) and are those of docs/architecture.md. Families counted by
this process itself are in local.py and worker.py. Counters and histograms here are totals that the store keeps, so
they survive a restart of the watch; they appear with the first good reading, because a made-up zero would show as a
burst of work in `increase()` each time the watch restarts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.metrics_core import Metric


@dataclass(frozen=True)
class Family:
    """A family's name (a counter's without `_total`), type, help and labels."""

    kind: Callable[..., Metric]
    name: str
    help: str
    labels: Sequence[str] = ()

    def gauge(self) -> GaugeMetricFamily:
        return GaugeMetricFamily(self.name, self.help, labels=self.labels)

    def counter(self) -> CounterMetricFamily:
        return CounterMetricFamily(self.name, self.help, labels=self.labels)

    def histogram(self) -> HistogramMetricFamily:
        return HistogramMetricFamily(self.name, self.help, labels=self.labels)

    def info(self) -> InfoMetricFamily:
        return InfoMetricFamily(self.name, self.help, labels=self.labels)

    def empty(self) -> Metric:
        """The family without a sample: what its HELP and TYPE lines are made from."""
        return self.kind(self.name, self.help, labels=self.labels)


def _gauge(name: str, text: str, *labels: str) -> Family:
    return Family(GaugeMetricFamily, f"gradewatch_{name}", text, labels)


def _counter(name: str, text: str, *labels: str) -> Family:
    return Family(CounterMetricFamily, f"gradewatch_{name}", text, labels)


def _histogram(name: str, text: str, *labels: str) -> Family:
    return Family(HistogramMetricFamily, f"gradewatch_{name}", text, labels)


BUILD = Family(InfoMetricFamily, "gradewatch_build", "The running version of Gradewatch.")

QUEUE_DEPTH = _gauge(
    "queue_depth",
    "Jobs not finished, by state (pending, running). A floor where the store caps its count. "
    "Absent while the queue cannot be read.",
    "queue",
    "state",
)
OLDEST_PENDING = _gauge(
    "queue_oldest_pending_age_seconds",
    "How long the longest-waiting eligible job has waited; 0 when none waits. "
    "Grows between readings, and while the queue cannot be read.",
    "queue",
)
OLDEST_RUNNING = _gauge(
    "queue_oldest_running_age_seconds",
    "How long the longest-running job has run; 0 when none runs. "
    "Grows between readings, and while the queue cannot be read.",
    "queue",
)
QUEUE_SLO = _gauge(
    "queue_slo_seconds", "Longest wait a job of this queue may have before it starts (schedule_to_start).", "queue"
)
QUEUE_LIMIT = _gauge(
    "queue_start_to_close_seconds",
    "Longest time a job of this queue may run before it is ended (start_to_close).",
    "queue",
)
ENQUEUED = _counter("jobs_enqueued", "Jobs submitted since the store was made.", "queue")
FINISHED = _counter(
    "jobs_finished", "Jobs finished since the store was made: succeeded, failed, cancelled.", "queue", "outcome"
)
RETRIES = _counter("job_retries", "Attempts that ended in another try since the store was made.", "queue")
WAIT = _histogram("job_wait_seconds", "Time from eligible to started, since the store was made.", "queue")
RUN = _histogram("job_run_seconds", "Time from started to finished, since the store was made.", "queue", "outcome")
PAPERS = _counter(
    "papers_graded",
    "Papers done, by outcome: graded, needs_review, failed. The watch tells the store's totals, a worker its own.",
    "outcome",
)

WORKERS = _gauge(
    "workers",
    "Workers by verdict. A worker that serves several queues counts in each. Absent while sessions cannot be read.",
    "queue",
    "verdict",
)
SLOTS = _gauge("worker_slots", "Jobs that the live workers (alive or starved) can run at once.", "queue")
SLOTS_BUSY = _gauge("worker_slots_busy", "Slots of live workers that run a job.", "queue")

RESCUE_WORKERS = _gauge(
    "rescue_workers",
    "Live workers that a watch runs itself because no real one lives; they do not count in gradewatch_workers. "
    "Absent while sessions cannot be read.",
    "queue",
)

STORE_UP = _gauge("store_up", "1 when the last cycle reached the store.", "store")
PROBE_SUCCESS = _gauge("probe_success", "1 when the probe's last reading is known; a failed probe is 0.", "probe")
PROBE_DURATION = _gauge("probe_duration_seconds", "How long the probe took in the last cycle.", "probe")
PROBE_LAST_SUCCESS = _gauge(
    "probe_last_success_timestamp_seconds", "When the probe last succeeded (Unix time); 0: never.", "probe"
)
CYCLE_LAST = _gauge("cycle_last_timestamp_seconds", "When the last cycle ended (Unix time); 0: none has.")
FINDING_ACTIVE = _gauge("finding_active", "1 while the finding is active.", "code")
BUDGET_REMAINING = _gauge(
    "remediation_budget_remaining", "Repairs left in the window, the smallest over the queues.", "action"
)
LEADER = _gauge("leader", "1 while this watch is the one that acts.")
