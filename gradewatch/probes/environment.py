"""Credentials, as far as looking at them tells: set, not empty, of the right form. Never their value in a message."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from gradewatch.model import Code, CredentialFacts

VISION = "GOOGLE_CLOUD_VISION_CREDENTIALS_JSON"
VISION_FILE = "GOOGLE_APPLICATION_CREDENTIALS"  # Google's own name for a file, in its default chain
VISION_ENDPOINT = "GOOGLE_CLOUD_VISION_ENDPOINT"
GROQ = "GROQ_API_KEY"
GROQ_ENDPOINT = "GROQ_BASE_URL"  # the SDK's own name
GROQ_URL = "https://api.groq.com"
VISION_HOST = "vision.googleapis.com"
SERVICE_ACCOUNT_KEYS = ("client_email", "private_key", "token_uri")  # what google-auth needs of a key file
LARGEST_KEY = 64 * 1024

PROVIDERS: Mapping[str, tuple[str, str]] = {
    "vision": (VISION, "Google Cloud Vision"),
    "groq": (GROQ, "Groq"),
}
"""By the provider's name in the settings: the variable its credential is read from, and its name for people."""

_PASTE = f'paste the whole key file, or its base64: export {VISION}="$(base64 -w0 key.json)"'


class BadCredential(ValueError):
    """A credential that cannot be right, whoever is asked. The text says why and what to do, and holds none of it."""

    def __init__(self, message: str, fix: str) -> None:
        self.fix = fix
        super().__init__(message)


def read_credentials(environ: Mapping[str, str], configured: Collection[str] = ()) -> tuple[CredentialFacts, ...]:
    """What is set is checked. What is not set is missed only by a provider that the settings name: another one is
    simply not used."""
    return tuple(fact for name in PROVIDERS if (fact := _fact(name, environ, name in configured)))


def _fact(name: str, environ: Mapping[str, str], configured: bool) -> CredentialFacts | None:
    variable, provider = PROVIDERS[name]
    if variable not in environ:
        return _missing(variable, provider) if configured and name == "groq" else None
    if not environ[variable].strip():
        fix = f"Give {variable} its value; where the provider is not used, unset it."
        return CredentialFacts(variable, provider, Code.CREDENTIAL_MISSING, f"{variable} is set but empty", fix)
    try:
        vision_key(environ) if name == "vision" else groq_key(environ)
    except BadCredential as bad:
        return CredentialFacts(variable, provider, Code.CREDENTIAL_INVALID, str(bad), bad.fix)
    return CredentialFacts(variable, provider, None)


def _missing(variable: str, provider: str) -> CredentialFacts:
    message = f"{variable} is not set, and the settings name {provider}"
    return CredentialFacts(
        variable,
        provider,
        Code.CREDENTIAL_MISSING,
        message,
        f"Set {variable} for the workers and the watch, or take the provider out of worker.grading and worker.ocr.",
    )


def groq_key(environ: Mapping[str, str]) -> str:
    """Raises BadCredential."""
    key = environ.get(GROQ, "").strip()
    if not key.startswith("gsk_") or not key.isascii() or not key.isprintable() or " " in key:
        # Groq's keys start with gsk_; anything else is some other service's key in this variable.
        message = f"{GROQ} does not start with gsk_, or holds blanks: it is not a key of Groq"
        raise BadCredential(message, f"Copy a key from console.groq.com/keys into {GROQ}.")
    return key


def vision_key(environ: Mapping[str, str]) -> Mapping[str, Any] | None:
    """The service account's key, given as JSON, as base64 of JSON, or as a file's path; None where it is left to
    Google's default chain. Raises BadCredential."""
    value = environ.get(VISION, "").strip()
    if not value:
        return None
    try:
        key = json.loads(_key_text(value))
    except (binascii.Error, UnicodeDecodeError, ValueError) as fault:
        if isinstance(fault, BadCredential):
            raise
        raise BadCredential(f"{VISION} is neither JSON nor base64 of JSON: it was cut, or quoted", _PASTE) from None
    if not isinstance(key, dict):
        raise BadCredential(f"{VISION} holds JSON, but not a key file", _PASTE)
    if lacks := list(_lacking(key)):
        raise BadCredential(f"{VISION} lacks {', '.join(lacks)}: it is not a service account's key file", _PASTE)
    return key


def _key_text(value: str) -> str:
    if value.startswith(("{", "[", '"')):
        return value
    if value.startswith(("/", "./", "~")) or value.endswith(".json"):
        try:
            with Path(value).expanduser().open("rb") as file:
                return file.read(LARGEST_KEY).decode()
        except OSError as fault:
            message = f"{VISION} names a file that cannot be read: {fault.strerror}"
            raise BadCredential(
                message, "Mount the key file where the variable says, readable for the worker."
            ) from None
    return base64.b64decode("".join(value.split()), validate=True).decode()


def _lacking(key: Mapping[str, Any]) -> Iterator[str]:
    for name in SERVICE_ACCOUNT_KEYS:
        if not isinstance(key.get(name), str) or not key[name].strip():
            yield name
    if isinstance(key.get("private_key"), str) and key["private_key"] and "-----BEGIN" not in key["private_key"]:
        yield "the head of its private_key (line ends were lost?)"


def chosen(environ: Mapping[str, str], ocr: Collection[str], grading: Collection[str]) -> tuple[str, ...]:
    """The providers in use: those the settings name, else those whose key is set."""
    reads = "vision" in ocr or (not ocr and bool(environ.get(VISION, "").strip()))
    grades = "groq" in grading or (not grading and bool(environ.get(GROQ, "").strip()))
    return (*(["vision"] if reads else []), *(["groq"] if grades else []))
