"""What can go wrong at a provider, in the few kinds that call for different answers."""

from __future__ import annotations

from enum import Enum

from gradewatch.errors import GradewatchError


class Kind(Enum):
    RATE_LIMITED = "rate limited"  # too much at once: wait as long as it says, and ask for less
    OUT_OF_QUOTA = "out of quota"  # a limit that waiting alone, for long, or money lifts
    UNAVAILABLE = "unavailable"  # it does not answer, or with an error of its own
    CREDENTIAL = "credential refused"  # only a person can help
    REFUSED = "refused"  # this request will never be answered: too large, not understood, against a policy
    MALFORMED = "malformed answer"  # it answered, and not what was asked for: another try may


WAITS = frozenset({Kind.RATE_LIMITED, Kind.OUT_OF_QUOTA, Kind.UNAVAILABLE, Kind.CREDENTIAL})
"""Kinds that concern every request: what comes next waits, and no paper is to blame."""


class ProviderFault(GradewatchError):
    """One call did not give what was asked. `retry_after` is in seconds, as the provider said; `slow`: the deadline
    passed; `took`: tokens, sent and received, of an answer that was of no use. The text names no key and no word of a
    paper."""

    def __init__(
        self, kind: Kind, message: str, *, retry_after: float | None = None, slow: bool = False, fix: str = ""
    ) -> None:
        self.kind = kind
        self.retry_after = retry_after
        self.slow = slow
        self.fix = fix
        self.took = (0, 0)
        super().__init__(message)


class BudgetSpent(GradewatchError):
    """worker.budget allows no further call; `scope` is "job" or "day"."""

    def __init__(self, scope: str) -> None:
        self.scope = scope
        super().__init__(f"the budget of provider calls for this {scope} is spent (worker.budget)")


class NotNow(GradewatchError):
    """A provider cannot be used at present, and the caller would rather ask another than wait."""
