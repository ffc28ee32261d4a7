"""What the SDKs raise, told apart by what can be done about it. Messages say what the provider said, in few words."""

from __future__ import annotations

import re
from collections.abc import Mapping

from gradewatch.probes.environment import GROQ, VISION
from gradewatch.worker.providers.faults import Kind, ProviderFault

LONGEST = 200  # characters of a provider's own words
LONG_WAIT = 60.0  # seconds: who is told to wait longer has used up a quota, and was not merely too quick
_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")
_KEYLIKE = re.compile(r"gsk_\w+|ya29\.[\w.-]+|Bearer\s+\S+|[A-Za-z0-9_\-]{40,}")

GROQ_FIX = f"Put a valid key of console.groq.com/keys into {GROQ} and restart the workers."
VISION_FIX = (
    f"Give {VISION} the key of a service account that may use Vision, enable the Cloud Vision API and billing in its "
    "project, then restart the workers."
)


def seconds_of(text: str | None) -> float | None:
    """A retry-after header: seconds, or Groq's "7m12.5s". A date is not understood, and gives None."""
    stripped = (text or "").strip()
    try:
        return max(0.0, float(stripped))
    except ValueError:
        found = _DURATION.fullmatch(stripped)
    if not stripped or found is None:
        return None
    return sum(float(part or 0) * unit for part, unit in zip(found.groups(), (3600, 60, 1, 0.001), strict=True))


def words(text: object) -> str:
    """A provider's words, fit for a log: short, on one line, and without anything that looks like a key."""
    return _KEYLIKE.sub("…", " ".join(str(text).split()))[:LONGEST]


def http_fault(status: int, headers: Mapping[str, str], said: str) -> ProviderFault:
    """An answer of Groq that is no success. The statuses are those of console.groq.com/docs/errors."""
    after = seconds_of(headers.get("retry-after"))
    if status == 401:
        return ProviderFault(
            Kind.CREDENTIAL, f"Groq refused {GROQ} (401): it is wrong, expired or revoked", fix=GROQ_FIX
        )
    if status == 403:
        message = f"Groq forbids this to {GROQ} (403): {words(said)}"
        return ProviderFault(
            Kind.CREDENTIAL, message, fix=f"Allow the model, and this network, for the project of {GROQ}."
        )
    if status == 402 or (status == 429 and ("quota" in said.lower() or (after or 0.0) > LONG_WAIT)):
        message = f"the quota of {GROQ} is used up: {words(said)}"
        fix = f"Raise the limits or the spend of the project behind {GROQ}, or wait until they are renewed."
        return ProviderFault(Kind.OUT_OF_QUOTA, message, retry_after=after, fix=fix)
    if status in (429, 498):
        return ProviderFault(Kind.RATE_LIMITED, f"Groq asks for fewer requests ({status})", retry_after=after)
    if status == 404:
        return ProviderFault(
            Kind.UNAVAILABLE,
            f"Groq has nothing there (404): {words(said)}",
            fix="Set worker.groq_model to a model that the key may use, and look at GROQ_BASE_URL if it is set.",
        )
    if status >= 500 or status in (408, 409):
        return ProviderFault(Kind.UNAVAILABLE, f"Groq answered {status}", retry_after=after)
    if "json_validate_failed" in said:
        return ProviderFault(Kind.MALFORMED, "the model's answer did not keep to the schema (400)")
    return ProviderFault(Kind.REFUSED, f"Groq refused the request ({status}): {words(said)}")


def groq_fault(error: Exception) -> ProviderFault:
    """Of whatever the Groq SDK raised."""
    import groq

    if isinstance(error, groq.APITimeoutError):
        return ProviderFault(Kind.UNAVAILABLE, "Groq did not answer in time", slow=True)
    if isinstance(error, groq.APIStatusError):
        return http_fault(error.status_code, error.response.headers, f"{error.message} {error.body or ''}")
    if isinstance(error, groq.APIConnectionError):
        return ProviderFault(Kind.UNAVAILABLE, f"Groq cannot be reached: {words(error.__cause__ or error)}")
    # What is left is an answer that is cut or no JSON, which the SDK lets through as its parser's error.
    return ProviderFault(Kind.UNAVAILABLE, f"Groq's answer was no JSON ({type(error).__name__})")


def vision_fault(error: Exception) -> ProviderFault:
    """Of whatever the Vision SDK, gRPC or google-auth raised."""
    from google.api_core import exceptions as api
    from google.auth import exceptions as auth

    said = words(getattr(error, "message", "") or error)
    if isinstance(error, auth.RefreshError) and not error.retryable:
        message = f"Google refused the key in {VISION}: it is wrong, expired or deleted ({said})"
        return ProviderFault(Kind.CREDENTIAL, message, fix=VISION_FIX)
    if isinstance(error, auth.DefaultCredentialsError | auth.MalformedError | ValueError):
        return ProviderFault(Kind.CREDENTIAL, f"no usable credential for Google Cloud Vision: {said}", fix=VISION_FIX)
    if isinstance(error, auth.GoogleAuthError):
        return ProviderFault(Kind.UNAVAILABLE, f"Google's token service cannot be reached: {said}")
    if isinstance(error, api.Unauthenticated | api.Forbidden):
        return ProviderFault(Kind.CREDENTIAL, f"Vision refused the key in {VISION}: {said}", fix=VISION_FIX)
    if isinstance(error, api.TooManyRequests):
        return _exhausted(error, said)
    if isinstance(error, api.DeadlineExceeded | api.GatewayTimeout):
        return ProviderFault(Kind.UNAVAILABLE, "Vision did not answer in time", slow=True)
    if isinstance(error, api.ClientError) and not isinstance(error, api.Cancelled | api.Conflict):
        return ProviderFault(Kind.REFUSED, f"Vision refused the request: {said}")
    return ProviderFault(Kind.UNAVAILABLE, f"Vision is unavailable: {said}")


def _exhausted(error: Exception, said: str) -> ProviderFault:
    """RESOURCE_EXHAUSTED is a quota a minute or one a day: how long to wait (google.rpc.RetryInfo) tells them apart."""
    after = next(
        (float(d.retry_delay.seconds) for d in getattr(error, "details", ()) if hasattr(d, "retry_delay")), None
    )
    if "billing" in said.lower() or "per day" in said.lower() or (after or 0.0) > LONG_WAIT:
        fix = (
            f"Raise Vision's quota, or renew the billing, of the project behind {VISION}; or wait until it is renewed."
        )
        return ProviderFault(Kind.OUT_OF_QUOTA, f"Vision's quota is used up: {said}", retry_after=after, fix=fix)
    return ProviderFault(Kind.RATE_LIMITED, "Vision asks for fewer requests", retry_after=after)
