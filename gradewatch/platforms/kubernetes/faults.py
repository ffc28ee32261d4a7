"""What the API server refuses or fails at, as the project's own errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradewatch.errors import PlatformError

UNREACHABLE = 0  # in place of a status: no answer came
LONGEST_WAIT = 60.0  # seconds of a Retry-After that are honoured
MOST_WORDS = 300  # characters of the server's message that are repeated


class ApiError(PlatformError):
    """The API server did not do it. `status` is HTTP's, or UNREACHABLE; `reason` is its own word, such as "Conflict";
    `retry_after` is in seconds."""

    def __init__(self, message: str, status: int = UNREACHABLE, reason: str = "", retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.status, self.reason, self.retry_after = status, reason, retry_after

    @property
    def refused(self) -> bool:
        """It knows us not, or allows it not: trying again changes nothing."""
        return self.status in (401, 403)


class Gone(ApiError):
    """410: that resource version is too old to watch from. List anew."""


def refusal(method: str, path: str, status: int, answer: Any, retry_after: str) -> ApiError:
    """The error of an answer that is no success. `answer` is a Status object, or whatever a proxy made of it."""
    told: Mapping[str, Any] = answer if isinstance(answer, Mapping) else {}
    reason, message = str(told.get("reason") or ""), str(told.get("message") or "")[:MOST_WORDS]
    words = f"Kubernetes refused {method} {path} with {status} {reason}".rstrip()
    text = f"{words}: {message}" if message else words
    if status == 401:
        text += ". The token or certificate is not accepted: it has expired, or the cluster is another one."
    kind = Gone if status == 410 else ApiError
    return kind(text, status, reason, seconds(retry_after))


def seconds(retry_after: str) -> float:
    """A Retry-After header in seconds; its other form, a date, would compare two machines' clocks."""
    return min(LONGEST_WAIT, float(retry_after)) if retry_after.isdecimal() else 0.0
