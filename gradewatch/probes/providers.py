"""Do the providers take the keys we have? Asked at the start and every few minutes, by what costs nothing: Google for a
token, Groq for its list of models. What workers have met meanwhile is added."""

from __future__ import annotations

import asyncio
import importlib.util
import time
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

import aiohttp
import structlog

from gradewatch.config import Settings
from gradewatch.model import Code, CredentialFacts
from gradewatch.probes.environment import (
    GROQ,
    GROQ_ENDPOINT,
    GROQ_URL,
    PROVIDERS,
    VISION,
    VISION_ENDPOINT,
    VISION_HOST,
    BadCredential,
    chosen,
    groq_key,
    read_credentials,
)
from gradewatch.probes.google_token import load, refresh

log = structlog.get_logger(__name__)

DEADLINE = 10.0  # seconds of one check
IN_TROUBLE = 4  # times as often

_KEY_FIX = "Put a valid one into {variable}, for the workers and the watch, and restart them."
_QUOTA_FIX = "Raise the limits or renew the billing of the project behind {variable}; or wait until they are renewed."
_REACH_FIX = (
    "Look at the provider's status page, and at DNS, proxy and firewall of this machine. Nothing is lost meanwhile."
)


class ProviderProbe:
    """Keeps what the last check gave; a new one runs beside the cycle, and never holds it up. Without `checks`, nobody
    is asked: only the credentials' form and what workers told are known."""

    def __init__(
        self, environ: Mapping[str, str], settings: Settings, *, single: bool = False, checks: bool = True
    ) -> None:
        self._environ, self._single, self._checks = environ, single, checks
        self._every = settings.watch.provider_check
        worker = settings.worker
        self._named = frozenset((*worker.ocr, *worker.grading))
        self._chosen = chosen(environ, worker.ocr, worker.grading)
        self._last: tuple[CredentialFacts, ...] = ()
        self._due = 0.0  # monotonic
        self._checking: asyncio.Task[None] | None = None

    async def read(self, told: Iterable[CredentialFacts] = ()) -> tuple[CredentialFacts, ...]:
        """The form of each credential as it is now, what the last check gave, and what workers told."""
        form = read_credentials(self._environ, self._named)
        bad = {fact.variable for fact in form if fact.problem is not None}
        wanted = [name for name in self._chosen if PROVIDERS[name][0] not in bad]
        if self._checks and self._checking is None and wanted and time.monotonic() >= self._due:
            self._checking = asyncio.create_task(self._check(wanted))
        if self._single and self._checking is not None:
            await asyncio.wait({self._checking})
        named = (_with_name(fact) for fact in told)
        return (*form, *(fact for fact in self._last if fact.variable not in bad), *named)

    async def _check(self, names: Iterable[str]) -> None:
        try:
            checks = {"vision": check_vision, "groq": check_groq}
            found = await asyncio.gather(*(checks[name](self._environ) for name in names))
            self._last = tuple(fact for fact in found if fact is not None)
        except Exception:  # a fault of ours: told, and tried again; what was known stays
            log.exception("provider check failed unexpectedly")
        finally:
            self._due = time.monotonic() + self._every / (IN_TROUBLE if self._last else 1)
            self._checking = None


def _with_name(fact: CredentialFacts) -> CredentialFacts:
    name = PROVIDERS[fact.provider][1] if fact.provider in PROVIDERS else fact.provider
    return CredentialFacts(fact.variable, name, fact.problem, fact.message, fact.fix)


def _trouble(name: str, code: Code, message: str, fix: str) -> CredentialFacts:
    variable, provider = PROVIDERS[name]
    return CredentialFacts(variable, provider, code, message, fix.format(variable=variable))


async def check_groq(environ: Mapping[str, str]) -> CredentialFacts | None:
    """What is wrong between us and Groq; None: nothing. Never raises, but for cancellation."""
    url = (environ.get(GROQ_ENDPOINT, "").strip() or GROQ_URL).rstrip("/")
    try:
        headers = {"Authorization": f"Bearer {groq_key(environ)}"}
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(DEADLINE), trust_env=True) as session,
            session.get(f"{url}/openai/v1/models", headers=headers) as answer,
        ):
            said = (await answer.content.read(4096)).decode(errors="replace")
            return _groq_answer(answer.status, answer.content_type, said)
    except BadCredential as bad:
        return _trouble("groq", Code.CREDENTIAL_INVALID, str(bad), bad.fix)
    except (TimeoutError, aiohttp.ClientError, ValueError) as error:
        reason = "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
        return _trouble(
            "groq", Code.PROVIDER_UNAVAILABLE, f"Groq, which {GROQ} is for, is not reached: {reason}", _REACH_FIX
        )


def _groq_answer(status: int, kind: str, said: str) -> CredentialFacts | None:
    if status == 401:
        why = "it has expired" if "expired" in said.lower() else "it is wrong or was revoked"
        return _trouble("groq", Code.CREDENTIAL_INVALID, f"Groq refused {GROQ} (401): {why}", _KEY_FIX)
    if status == 403:
        return _trouble("groq", Code.CREDENTIAL_INVALID, f"Groq forbids access to {GROQ} (403)", _KEY_FIX)
    if status in (402, 429):
        return _trouble("groq", Code.PROVIDER_RATE_LIMITED, f"the quota of {GROQ} is used up ({status})", _QUOTA_FIX)
    if status != 200 or kind != "application/json":
        said = f"answered {status}" if status != 200 else "answered with a page that is not its own"
        return _trouble("groq", Code.PROVIDER_UNAVAILABLE, f"Groq, which {GROQ} is for, {said}", _REACH_FIX)
    return None


async def check_vision(environ: Mapping[str, str]) -> CredentialFacts | None:
    """What is wrong between us and Vision; None: nothing. Never raises, but for cancellation."""
    if importlib.util.find_spec("google") is None or importlib.util.find_spec("google.auth") is None:
        return None  # the workers have it; this process cannot tell
    from google.auth import exceptions as auth

    try:
        async with asyncio.timeout(DEADLINE):
            await asyncio.to_thread(_fetch_token, environ)
            await _reach(environ.get(VISION_ENDPOINT, "").strip() or VISION_HOST)
    except BadCredential as bad:
        return _trouble("vision", Code.CREDENTIAL_INVALID, str(bad), bad.fix)
    except auth.RefreshError as error:
        return _vision_refused(error.retryable, str(error))
    except (auth.DefaultCredentialsError, auth.MalformedError, ValueError) as error:
        message = f"{VISION} holds no usable key ({type(error).__name__}): its private key is damaged, or there is none"
        return _trouble("vision", Code.CREDENTIAL_INVALID, message, _KEY_FIX)
    except (TimeoutError, auth.GoogleAuthError, OSError) as error:
        reason = "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
        message = f"Google Cloud Vision, which {VISION} is for, is not reached: {reason}"
        return _trouble("vision", Code.PROVIDER_UNAVAILABLE, message, _REACH_FIX)
    return None


def _vision_refused(passing: bool, said: str) -> CredentialFacts:
    if passing:
        message = f"Google's token service, which {VISION} needs, is in trouble"
        return _trouble("vision", Code.PROVIDER_UNAVAILABLE, message, _REACH_FIX)
    why = "it has expired" if "expired" in said.lower() else "it is wrong, or was deleted"
    return _trouble("vision", Code.CREDENTIAL_INVALID, f"Google refused the key in {VISION}: {why}", _KEY_FIX)


def _fetch_token(environ: Mapping[str, str]) -> None:
    refresh(load(environ), DEADLINE / 2)


async def _reach(endpoint: str) -> None:
    """A connection, and nothing more: any request that Vision would answer might be one that is paid."""
    place = urlsplit(f"//{endpoint}")
    _, writer = await asyncio.open_connection(place.hostname, place.port or 443)
    writer.close()
