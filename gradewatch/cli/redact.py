"""What must not reach a log: values under names that speak of a secret, and passwords inside URLs."""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from functools import lru_cache
from typing import Any

HIDDEN = "(hidden)"
_DEEPEST = 4  # levels of nested values looked into; what lies deeper is hidden as a whole

# Whole words between underscores, so that "author" and "tokenizer" stay readable.
_SECRET = re.compile(
    r"(?:^|[_.-])(?:key|token|secret|passw(?:or)?d|passphrase|pwd|credentials?|auth|authorization|cookie|dsn)s?"
    r"(?:$|[_.-])|apikey",
    re.IGNORECASE,
)
_NUMBERS = frozenset({int, float, bool, type(None)})  # under such a name: a job's fencing token, not a secret
_USERINFO = re.compile(r"(?<=://)[^\s/@'\"]*@")
_BEARER = re.compile(r"(bearer\s+)[\w.~+/=-]+", re.IGNORECASE)


def redact(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor."""
    for name, value in event.items():
        if type(value) not in _NUMBERS:
            event[name] = _safe(name, value, _DEEPEST)
    return event


@lru_cache(maxsize=1024)
def _names_a_secret(name: str) -> bool:
    return _SECRET.search(name) is not None


def _safe(name: str, value: Any, depth: int) -> Any:
    if type(value) in _NUMBERS:
        return value
    if _names_a_secret(name):
        return HIDDEN
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        return _without_secrets(value)
    if isinstance(value, Mapping):
        return {str(key): _safe(str(key), item, depth - 1) for key, item in value.items()} if depth else HIDDEN
    if isinstance(value, list | tuple | set | frozenset):
        return [_safe("", item, depth - 1) for item in value] if depth else HIDDEN
    return value


def _without_secrets(text: str) -> str:
    """Most texts hold nothing that even looks like a secret, and a busy worker logs thousands of them a second."""
    if "://" in text:
        text = _USERINFO.sub(f"{HIDDEN}@", text)
    if "bearer" in text.lower():
        text = _BEARER.sub(rf"\1{HIDDEN}", text)
    return text
