"""What /metrics of a watch says, read back with Prometheus' own parsers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace

import pytest
from builders import (
    NOW,
    ago,
    empty_stats,
    finding,
    queue_stats,
    report,
    result,
    session,
    snapshot,
    verdict,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from gradewatch.config import QueueSettings, Settings, Timeouts, WatchSettings
from gradewatch.metrics.collect import merged
from gradewatch.metrics.watch import WatchMetrics
from gradewatch.model import ActionKind, Code, CycleReport, Histogram, Known, Outcome, Unknown, Verdict

OPENMETRICS = "application/openmetrics-text; version=1.0.0"

NAMES_AND_LABELS = {
    "gradewatch_build_info": {"version"},
    "gradewatch_queue_depth": {"queue", "state"},
    "gradewatch_queue_oldest_pending_age_seconds": {"queue"},
    "gradewatch_queue_oldest_running_age_seconds": {"queue"},
    "gradewatch_queue_slo_seconds": {"queue"},
    "gradewatch_queue_start_to_close_seconds": {"queue"},
    "gradewatch_jobs_enqueued_total": {"queue"},
    "gradewatch_jobs_finished_total": {"queue", "outcome"},
    "gradewatch_job_retries_total": {"queue"},
    "gradewatch_job_wait_seconds_bucket": {"queue", "le"},
    "gradewatch_job_wait_seconds_sum": {"queue"},
    "gradewatch_job_wait_seconds_count": {"queue"},
    "gradewatch_job_run_seconds_bucket": {"queue", "outcome", "le"},
    "gradewatch_job_run_seconds_sum": {"queue", "outcome"},
    "gradewatch_job_run_seconds_count": {"queue", "outcome"},
    "gradewatch_workers": {"queue", "verdict"},
    "gradewatch_worker_slots": {"queue"},
    "gradewatch_worker_slots_busy": {"queue"},
    "gradewatch_rescue_workers": {"queue"},
    "gradewatch_papers_graded_total": {"outcome"},
    "gradewatch_provider_requests_total": {"provider", "outcome"},
    "gradewatch_provider_request_seconds_bucket": {"provider", "le"},
    "gradewatch_provider_request_seconds_sum": {"provider"},
    "gradewatch_provider_request_seconds_count": {"provider"},
    "gradewatch_provider_tokens_total": {"provider", "direction"},
    "gradewatch_store_up": {"store"},
    "gradewatch_probe_success": {"probe"},
    "gradewatch_probe_duration_seconds": {"probe"},
    "gradewatch_probe_last_success_timestamp_seconds": {"probe"},
    "gradewatch_cycle_last_timestamp_seconds": set(),
    "gradewatch_finding_active": {"code"},
    "gradewatch_remediations_total": {"action", "outcome"},
    "gradewatch_remediation_jobs_total": {"action"},
    "gradewatch_remediation_last_timestamp_seconds": {"action"},
    "gradewatch_remediation_budget_remaining": {"action"},
    "gradewatch_leader": set(),
}


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def watch(clock: Clock, settings: Settings | None = None) -> WatchMetrics:
    return WatchMetrics(settings or Settings(), store="sqlite", providers=["groq"], mono=clock)


def families(metrics: WatchMetrics, accept: str = "") -> list[Metric]:
    body, _ = metrics.scrape(accept)
    return list((parse_openmetrics if accept else parse_text)(body.decode()))


def values(metrics: WatchMetrics, name: str, accept: str = "") -> dict[frozenset[tuple[str, str]], float]:
    found = [s for family in families(metrics, accept) for s in family.samples if s.name == name]
    series = {frozenset(s.labels.items()): s.value for s in found}
    assert len(series) == len(found), f"{name} has a series twice"
    return series


def value(metrics: WatchMetrics, name: str, **labels: str) -> float | None:
    return values(metrics, name).get(frozenset(labels.items()))


async def shown(metrics: WatchMetrics, *reports: CycleReport) -> WatchMetrics:
    for one in reports:
        metrics.publish(one)
    await metrics.render()
    return metrics


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
async def test_every_public_name_is_there_with_its_labels_and_no_other(clock: Clock, accept: str) -> None:
    metrics = await shown(watch(clock), report())
    found: dict[str, set[frozenset[str]]] = {}
    for family in families(metrics, accept):
        for sample in family.samples:
            found.setdefault(sample.name, set()).add(frozenset(sample.labels))
    assert found == {name: {frozenset(labels)} for name, labels in NAMES_AND_LABELS.items()}


async def test_families_are_whole_and_both_formats_agree(clock: Clock) -> None:
    metrics = await shown(watch(clock), report(snapshot([queue_stats("a"), queue_stats("b")])))
    text, openmetrics = metrics.scrape()[0], metrics.scrape(OPENMETRICS)[0]
    assert openmetrics.endswith(b"\n# EOF\n")
    assert openmetrics.count(b"# EOF") == 1
    assert b"# EOF" not in text
    for body in (text, openmetrics):
        heads = [line.split()[2] for line in body.splitlines() if line.startswith(b"# TYPE")]
        assert len(heads) == len(set(heads))
    samples = [{line for line in body.splitlines() if not line.startswith(b"#")} for body in (text, openmetrics)]
    assert samples[0] == samples[1]


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/html", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,*/*;q=0.1", None),
        ("application/openmetrics-text; version=\x01.x.é", "text/plain; version=0.0.4; charset=utf-8"),
    ],
)
def test_the_format_is_negotiated_and_nonsense_gets_text(clock: Clock, accept: str, content_type: str | None) -> None:
    expected = content_type or "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert watch(clock).scrape(accept)[1] == expected


def test_what_this_process_counts_starts_at_zero_before_any_cycle(clock: Clock) -> None:
    metrics = watch(clock)
    assert set(values(metrics, "gradewatch_remediations_total").values()) == {0.0}
    assert len(values(metrics, "gradewatch_remediations_total")) == len(ActionKind) * len(Outcome)
    assert values(metrics, "gradewatch_finding_active") == {frozenset({("code", c.value)}): 0.0 for c in Code}
    assert set(values(metrics, "gradewatch_probe_success").values()) == {0.0}
    assert value(metrics, "gradewatch_queue_slo_seconds", queue="default") == 300.0
    assert value(metrics, "gradewatch_queue_start_to_close_seconds", queue="default") == 1800.0
    assert value(metrics, "gradewatch_remediation_budget_remaining", action="restart") == 5.0


def test_totals_of_the_store_are_absent_until_they_are_known(clock: Clock) -> None:
    """A made-up zero would look like a burst of work to `increase()` each time the watch restarts."""
    metrics = watch(clock)
    for name in ("jobs_enqueued_total", "jobs_finished_total", "queue_depth", "workers", "papers_graded_total"):
        assert values(metrics, f"gradewatch_{name}") == {}


async def test_an_empty_queue_shows_zeros_for_every_known_series(clock: Clock) -> None:
    metrics = await shown(watch(clock), report(snapshot([empty_stats()], sessions=[]), verdicts=[]))
    outcomes = values(metrics, "gradewatch_jobs_finished_total")
    assert {dict(key)["outcome"]: n for key, n in outcomes.items()} == {"succeeded": 0, "failed": 0, "cancelled": 0}
    verdicts = values(metrics, "gradewatch_workers")
    assert {dict(key)["verdict"]: n for key, n in verdicts.items()} == dict.fromkeys((v.value for v in Verdict), 0.0)
    assert value(metrics, "gradewatch_queue_oldest_pending_age_seconds", queue="default") == 0.0
    assert value(metrics, "gradewatch_job_wait_seconds_count", queue="default") == 0.0
    assert value(metrics, "gradewatch_worker_slots", queue="default") == 0.0


async def test_values_are_those_of_the_report(clock: Clock) -> None:
    seen = report(
        verdicts=[
            verdict(session("a", slots=4, busy=3)),
            verdict(session("b"), Verdict.STARVED),
            verdict(session("c"), Verdict.DEAD),
            verdict(session("d", queues=("rescue:default",))),
            verdict(session("e", queues=("rescue:default",)), Verdict.SUSPECT),
        ],
        findings=[finding(Code.WORKERS_SATURATED)],
    )
    metrics = await shown(watch(clock), seen)
    assert value(metrics, "gradewatch_queue_depth", queue="default", state="pending") == 3
    assert value(metrics, "gradewatch_queue_depth", queue="default", state="running") == 2
    assert value(metrics, "gradewatch_jobs_enqueued_total", queue="default") == 15
    assert value(metrics, "gradewatch_jobs_finished_total", queue="default", outcome="failed") == 2
    assert value(metrics, "gradewatch_job_retries_total", queue="default") == 1
    assert value(metrics, "gradewatch_papers_graded_total", outcome="graded") == 230
    assert value(metrics, "gradewatch_workers", queue="default", verdict="dead") == 1
    assert value(metrics, "gradewatch_workers", queue="default", verdict="alive") == 1
    assert value(metrics, "gradewatch_rescue_workers", queue="default") == 1
    assert value(metrics, "gradewatch_workers", queue="_other", verdict="alive") is None
    assert value(metrics, "gradewatch_worker_slots", queue="default") == 6
    assert value(metrics, "gradewatch_worker_slots_busy", queue="default") == 4
    assert value(metrics, "gradewatch_finding_active", code="workers_saturated") == 1
    assert value(metrics, "gradewatch_finding_active", code="job_poison") == 0
    assert value(metrics, "gradewatch_remediation_budget_remaining", action="requeue") == 998
    assert value(metrics, "gradewatch_leader") == 1
    assert value(metrics, "gradewatch_store_up", store="sqlite") == 1
    assert value(metrics, "gradewatch_probe_duration_seconds", probe="queue") == 0.004
    assert value(metrics, "gradewatch_cycle_last_timestamp_seconds") == NOW.timestamp()


async def test_histograms_are_cumulative_over_their_buckets(clock: Clock) -> None:
    metrics = await shown(watch(clock), report())
    buckets = values(metrics, "gradewatch_job_wait_seconds_bucket")
    by_bound = {dict(key)["le"]: n for key, n in buckets.items()}
    assert (by_bound["0.5"], by_bound["1.0"], by_bound["60.0"], by_bound["+Inf"]) == (5, 8, 12, 12)
    assert value(metrics, "gradewatch_job_wait_seconds_sum", queue="default") == 41.5
    assert value(metrics, "gradewatch_job_run_seconds_count", queue="default", outcome="failed") == 2
    assert value(metrics, "gradewatch_job_run_seconds_count", queue="default", outcome="cancelled") == 0


async def test_a_store_that_keeps_no_histograms_shows_none(clock: Clock) -> None:
    metrics = await shown(watch(clock), report(snapshot([queue_stats(wait_seconds=None, run_seconds={})])))
    assert values(metrics, "gradewatch_job_wait_seconds_count") == {}
    assert values(metrics, "gradewatch_job_run_seconds_count") == {}


def test_histograms_of_other_bounds_are_added_without_flattering() -> None:
    fine, coarse = Histogram((1.0, 5.0), (1, 2, 3), 30.0), Histogram((2.0,), (10, 20), 100.0)
    assert merged([fine, coarse]) == Histogram((1.0, 5.0), (1, 12, 23), 130.0)
    assert merged([]) is None


async def test_repairs_are_counted_over_cycles(clock: Clock) -> None:
    first = report(results=(result(), result(job="job-2"), result(outcome=Outcome.NOOP)))
    second = report(number=2, results=(result(), result(ActionKind.RESTART), result(outcome=Outcome.SUPPRESSED)))
    metrics = await shown(watch(clock), first, second)
    assert value(metrics, "gradewatch_remediations_total", action="requeue", outcome="applied") == 3
    assert value(metrics, "gradewatch_remediations_total", action="requeue", outcome="noop") == 1
    assert value(metrics, "gradewatch_remediations_total", action="restart", outcome="applied") == 1
    assert value(metrics, "gradewatch_remediation_jobs_total", action="requeue") == 3
    assert value(metrics, "gradewatch_remediation_jobs_total", action="restart") == 0
    assert value(metrics, "gradewatch_remediation_last_timestamp_seconds", action="requeue") == NOW.timestamp()
    assert value(metrics, "gradewatch_remediation_last_timestamp_seconds", action="expire") == 0


async def test_ages_grow_between_scrapes_and_an_empty_queue_stays_at_nought(clock: Clock) -> None:
    metrics = await shown(watch(clock), report(snapshot([queue_stats("a"), empty_stats("b")])))
    name = "gradewatch_queue_oldest_pending_age_seconds"
    assert value(metrics, name, queue="a") == 40.0
    clock.now += 7.5
    assert value(metrics, name, queue="a") == 47.5
    assert value(metrics, "gradewatch_queue_oldest_running_age_seconds", queue="a") == 97.5
    assert value(metrics, name, queue="b") == 0.0


async def test_a_queue_that_cannot_be_read_pages_and_does_not_freeze(clock: Clock) -> None:
    metrics = await shown(watch(clock), report())
    clock.now += 60
    blind = snapshot([Unknown("locked", clock.now)], mono=clock.now)
    await shown(metrics, report(blind, number=2))
    assert value(metrics, "gradewatch_queue_oldest_pending_age_seconds", queue="default") == 100.0
    assert values(metrics, "gradewatch_queue_depth") == {}
    assert value(metrics, "gradewatch_jobs_enqueued_total", queue="default") == 15  # a total stays true
    assert value(metrics, "gradewatch_probe_success", probe="queue") == 0
    assert value(metrics, "gradewatch_probe_success", probe="store") == 1
    last = value(metrics, "gradewatch_probe_last_success_timestamp_seconds", probe="queue")
    assert last == NOW.timestamp()


async def test_one_unreadable_queue_of_several_fails_the_probe(clock: Clock) -> None:
    seen = snapshot([queue_stats("a"), Unknown("locked", 1000.0)])
    metrics = await shown(watch(clock), report(seen))
    assert value(metrics, "gradewatch_probe_success", probe="queue") == 0
    assert value(metrics, "gradewatch_queue_depth", queue="a", state="pending") == 3


async def test_the_last_success_is_when_the_reading_was_taken(clock: Clock) -> None:
    seen = snapshot(environment=Known((), 990.0))
    metrics = await shown(watch(clock), report(seen))
    name = "gradewatch_probe_last_success_timestamp_seconds"
    assert value(metrics, name, probe="environment") == NOW.timestamp() - 10


async def test_without_sessions_nothing_is_said_of_workers(clock: Clock) -> None:
    unread = snapshot(workers=Unknown("store is locked", 1000.0))
    metrics = await shown(watch(clock), report(unread, verdicts=[]))
    assert values(metrics, "gradewatch_workers") == {}
    assert values(metrics, "gradewatch_worker_slots") == {}


async def test_a_lost_store_is_down(clock: Clock) -> None:
    metrics = await shown(watch(clock), report(snapshot(store=Unknown("gone", 1000.0, Code.STORE_UNREACHABLE))))
    assert value(metrics, "gradewatch_store_up", store="sqlite") == 0


def configured(names: Iterable[str], limit: int = 200) -> Settings:
    return Settings(
        queues={name: QueueSettings(name=name, timeouts=Timeouts(schedule_to_start=60.0)) for name in names},
        watch=WatchSettings(max_queues=limit),
    )


async def test_queues_beyond_the_cap_are_summed_as_other(clock: Clock) -> None:
    metrics = watch(clock, configured(["exams"], limit=2))
    stats = [queue_stats("exams"), *(queue_stats(f"q{n}", oldest_pending_at=ago(100 * n)) for n in range(1, 5))]
    workers = [verdict(session("w", queues=("q3", "q4", "exams")))]
    await shown(metrics, report(snapshot(stats), verdicts=workers))
    assert value(metrics, "gradewatch_queue_depth", queue="exams", state="pending") == 3
    assert value(metrics, "gradewatch_queue_depth", queue="q1", state="pending") == 3
    assert value(metrics, "gradewatch_queue_depth", queue="_other", state="pending") == 9
    assert value(metrics, "gradewatch_jobs_finished_total", queue="_other", outcome="succeeded") == 24
    assert value(metrics, "gradewatch_job_wait_seconds_count", queue="_other") == 36
    assert value(metrics, "gradewatch_queue_oldest_pending_age_seconds", queue="_other") == 400
    assert value(metrics, "gradewatch_workers", queue="_other", verdict="alive") == 1  # once, though it serves two
    assert {dict(key)["queue"] for key in values(metrics, "gradewatch_queue_depth")} == {"exams", "q1", "_other"}


HOSTILE = [
    'say "hi"',
    "two\nlines",
    "back\\slash\\n",
    "🧨 exams",
    "nul\x00esc\x1b[31m\r",
    "x" * 10_000,
    "x" * 9_999 + "y",
    "lone \udcff surrogate",
    "line\u2028separator\x85",
    '"} 1\n# EOF\n',
]


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
async def test_hostile_queue_names_parse_back(clock: Clock, accept: str) -> None:
    metrics = await shown(watch(clock, configured(HOSTILE)), report(snapshot(map(queue_stats, HOSTILE))))
    names = {dict(key)["queue"] for key in values(metrics, "gradewatch_jobs_enqueued_total", accept)}
    assert len(names) == len(HOSTILE)
    assert {'say "hi"', "two\nlines", "back\\slash\\n", "🧨 exams", '"} 1\n# EOF\n'} < names
    assert max(map(len, names)) <= 100
    assert not any(c in name for name in names for c in "\x00\x1b\r\x85")
    ages = values(metrics, "gradewatch_queue_oldest_pending_age_seconds", accept)
    assert {dict(key)["queue"] for key in ages} == names
    assert set(ages.values()) == {40.0}


async def test_a_published_report_is_rendered_in_the_background(clock: Clock) -> None:
    metrics = watch(clock)
    task = asyncio.create_task(metrics.run())
    for leads in (True, False):
        metrics.publish(replace(report(), leader=leads))
        async with asyncio.timeout(5):
            while value(metrics, "gradewatch_leader") != leads:
                await asyncio.sleep(0.001)
    task.cancel()


async def test_rendering_makes_way_for_the_loop(clock: Clock) -> None:
    """Many turns are given away while a large report is rendered, and a scrape in between sees the page before."""
    names = [f"queue-{n}" for n in range(100)]
    metrics = watch(clock, configured(names))
    metrics.publish(report(snapshot(map(queue_stats, names))))
    rendering, turns = asyncio.create_task(metrics.render()), 0
    while not rendering.done():
        if turns == 1:
            assert value(metrics, "gradewatch_leader") == 0
        turns += 1
        await asyncio.sleep(0)
    assert turns > 10
    assert value(metrics, "gradewatch_leader") == 1
