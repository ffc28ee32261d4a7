"""What /metrics of a worker process says."""

from __future__ import annotations

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from gradewatch.metrics.worker import WorkerMetrics


def samples(metrics: WorkerMetrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    body, _ = metrics.scrape()
    return {(s.name, frozenset(s.labels.items())): s.value for f in parse_text(body.decode()) for s in f.samples}


def one(metrics: WorkerMetrics, name: str, **labels: str) -> float:
    return samples(metrics)[f"gradewatch_{name}", frozenset(labels.items())]


def test_every_series_starts_at_zero() -> None:
    metrics = WorkerMetrics(providers=["groq"])
    assert {value for (name, _), value in samples(metrics).items() if name != "gradewatch_build_info"} == {0.0}
    for outcome in ("graded", "needs_review", "failed"):
        assert one(metrics, "papers_graded_total", outcome=outcome) == 0
    for outcome in ("ok", "rate_limited", "timeout", "error"):
        assert one(metrics, "provider_requests_total", provider="groq", outcome=outcome) == 0
    assert not any(name.endswith("_created") for name, _ in samples(metrics))


def test_it_counts_what_the_worker_tells() -> None:
    metrics = WorkerMetrics(wall=lambda: 1234.5)
    metrics.up(True)
    metrics.beat()
    metrics.paper("graded")
    metrics.paper("graded")
    metrics.providers.request("groq", "ok", 0.3, tokens_in=100, tokens_out=20)
    assert one(metrics, "worker_up") == 1
    assert one(metrics, "worker_last_heartbeat_timestamp_seconds") == 1234.5
    assert one(metrics, "papers_graded_total", outcome="graded") == 2
    assert one(metrics, "provider_requests_total", provider="groq", outcome="ok") == 1
    assert one(metrics, "provider_request_seconds_sum", provider="groq") == 0.3
    assert one(metrics, "provider_tokens_total", provider="groq", direction="input") == 100
    metrics.up(False)
    assert one(metrics, "worker_up") == 0


def test_openmetrics_parses_and_ends_once() -> None:
    body, content_type = WorkerMetrics().scrape("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert {family.name for family in parse_openmetrics(body.decode())} >= {"gradewatch_worker_up", "gradewatch_build"}
    assert body.count(b"# EOF") == 1


@pytest.mark.parametrize("outcome", ["", "success", "graded "])
def test_an_unknown_outcome_is_a_programming_error(outcome: str) -> None:
    with pytest.raises(ValueError, match="outcome"):
        WorkerMetrics().paper(outcome)
    with pytest.raises(ValueError, match="outcome"):
        WorkerMetrics().providers.request("groq", outcome, 0.1)
