"""What this process counts itself: repairs it carried out, and calls to providers."""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from gradewatch.model import ActionKind, Outcome, Result

REQUEST_BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
REQUEST_OUTCOMES = ("ok", "rate_limited", "timeout", "error")
DIRECTIONS = ("input", "output")


class RemediationMetrics:
    """Repairs decided on by this process, since it started."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._total = Counter(
            "gradewatch_remediations",
            "Repairs by what came of them: applied, noop (lost the race), failed, suppressed, dry_run.",
            ["action", "outcome"],
            registry=registry,
        )
        self._jobs = Counter(
            "gradewatch_remediation_jobs", "Jobs that a repair changed.", ["action"], registry=registry
        )
        self._last = Gauge(
            "gradewatch_remediation_last_timestamp_seconds",
            "When a repair was last applied by this process (Unix time); 0: never.",
            ["action"],
            registry=registry,
        )
        for action in ActionKind:
            self._jobs.labels(action.value)
            self._last.labels(action.value)
            for outcome in Outcome:
                self._total.labels(action.value, outcome.value)

    def count(self, results: Iterable[Result], wall: float) -> None:
        """Add a cycle's results; `wall` is Unix time."""
        counts = Counts((r.action.kind.value, r.outcome, r.action.job is not None) for r in results)
        for (kind, outcome, of_job), many in counts.items():
            self._total.labels(kind, outcome.value).inc(many)
            if outcome is Outcome.APPLIED:
                self._last.labels(kind).set(wall)
                if of_job:
                    self._jobs.labels(kind).inc(many)


class ProviderMetrics:
    """Calls to OCR and grading providers. `providers` are those configured: their series start at zero."""

    def __init__(self, registry: CollectorRegistry, providers: Sequence[str] = ()) -> None:
        self._requests = Counter(
            "gradewatch_provider_requests",
            "Calls to a provider by outcome: ok, rate_limited, timeout, error.",
            ["provider", "outcome"],
            registry=registry,
        )
        self._seconds = Histogram(
            "gradewatch_provider_request_seconds",
            "How long calls to a provider took.",
            ["provider"],
            buckets=REQUEST_BOUNDS,
            registry=registry,
        )
        self._tokens = Counter(
            "gradewatch_provider_tokens",
            "Tokens sent to (input) and received from (output) a provider.",
            ["provider", "direction"],
            registry=registry,
        )
        for provider in providers:
            self._seconds.labels(provider)
            for outcome in REQUEST_OUTCOMES:
                self._requests.labels(provider, outcome)
            for direction in DIRECTIONS:
                self._tokens.labels(provider, direction)

    def request(self, provider: str, outcome: str, seconds: float, *, tokens_in: int = 0, tokens_out: int = 0) -> None:
        """Count one call that took `seconds`. ValueError: an outcome that is none of REQUEST_OUTCOMES."""
        if outcome not in REQUEST_OUTCOMES:
            raise ValueError(f"provider outcome {outcome!r} is none of {', '.join(REQUEST_OUTCOMES)}")
        self._requests.labels(provider, outcome).inc()
        self._seconds.labels(provider).observe(seconds)
        self._tokens.labels(provider, "input").inc(tokens_in)
        self._tokens.labels(provider, "output").inc(tokens_out)
