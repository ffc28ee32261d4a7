"""Credentials, as far as looking at them tells: set, not empty, of the right form. Never their value in a message."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping

from gradewatch.model import Code, CredentialFacts

VISION = "GOOGLE_CLOUD_VISION_CREDENTIALS_JSON"
GROQ = "GROQ_API_KEY"
SERVICE_ACCOUNT_KEYS = ("client_email", "private_key", "token_uri")  # what google-auth needs of a key file


def read_credentials(environ: Mapping[str, str]) -> tuple[CredentialFacts, ...]:
    """What is set is checked; what is not set is not missed here: a provider without a key is simply not used."""
    checks: tuple[tuple[str, str, Callable[[str], str]], ...] = (
        (VISION, "Google Cloud Vision", _vision_fault),
        (GROQ, "Groq", _groq_fault),
    )
    return tuple(_fact(name, provider, environ[name], fault) for name, provider, fault in checks if name in environ)


def _fact(name: str, provider: str, value: str, fault: Callable[[str], str]) -> CredentialFacts:
    if not value.strip():
        return CredentialFacts(name, provider, Code.CREDENTIAL_MISSING, f"{name} is set but empty")
    message = fault(value.strip())
    return CredentialFacts(name, provider, Code.CREDENTIAL_INVALID if message else None, message)


def _vision_fault(value: str) -> str:
    try:
        text = value if value.startswith("{") else base64.b64decode(value, validate=True).decode()
        key = json.loads(text)
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return f"{VISION} is neither JSON nor base64 of JSON: paste the whole key file, or its base64"
    if not isinstance(key, dict):
        return f"{VISION} holds JSON, but not a key file"
    missing = [k for k in SERVICE_ACCOUNT_KEYS if not key.get(k)]
    return f"{VISION} lacks {', '.join(missing)}: it is not a service account's key file" if missing else ""


def _groq_fault(value: str) -> str:
    # Groq's keys start with gsk_; anything else is some other service's key in this variable.
    return "" if value.startswith("gsk_") else f"{GROQ} does not start with gsk_: it is not a key of Groq"
