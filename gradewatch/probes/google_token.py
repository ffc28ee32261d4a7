"""A token for Google Cloud Vision: what a check of its key comes down to, and what each call needs. Blocks: run it in a
thread. google-auth is imported here only, by those who have a key for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradewatch.probes.environment import vision_key

SCOPES = ("https://www.googleapis.com/auth/cloud-vision",)


def load(environ: Mapping[str, str]) -> Any:
    """google-auth credentials from the environment's key, else from Google's default chain. Raises BadCredential, and
    google-auth's errors."""
    import google.auth
    from google.oauth2 import service_account

    key = vision_key(environ)
    if key is not None:
        return service_account.Credentials.from_service_account_info(key, scopes=SCOPES)  # type: ignore[no-untyped-call]
    return google.auth.default(scopes=SCOPES)[0]


def refresh(credentials: Any, timeout: float) -> None:
    """Fetch a token, within `timeout` seconds a request. Raises google-auth's errors."""
    from google.auth.transport.requests import Request

    def bounded(*args: Any, **named: Any) -> Any:
        return Request()(*args, **{**named, "timeout": timeout})

    credentials.refresh(bounded)
