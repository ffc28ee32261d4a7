"""Which queues get a series of their own, and how a name becomes a label value that no parser trips over."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable

OTHER = "_other"
MAX_LENGTH = 100  # characters of a label value


def label_value(name: str) -> str:
    """`name` as a label value: bounded, valid UTF-8, no control characters but the newline (which is escaped).

    Prometheus' text parser ends a line at NUL, and lone surrogates cannot be encoded. A name that had to be changed
    ends with a hash of the original, so that two names never become one by accident.
    """
    clean = "".join(
        c if c == "\n" or unicodedata.category(c) not in ("Cc", "Cs") else "\N{REPLACEMENT CHARACTER}"
        for c in name[:MAX_LENGTH]
    )
    if clean == name:
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{clean[: MAX_LENGTH - 9]}~{digest}"


class QueueLabels:
    """The allow-list: configured queues first, then others as read, up to `limit`; the rest is `_other`."""

    def __init__(self, configured: Iterable[str], others: Iterable[str], limit: int) -> None:
        known = dict.fromkeys(configured) | dict.fromkeys(others)
        self._labels = {name: label_value(name) for name in list(known)[:limit]}
        self.overflow = len(known) > limit

    def __getitem__(self, queue: str) -> str:
        return self._labels.get(queue, OTHER)

    @property
    def all(self) -> tuple[str, ...]:
        """Every label in use, in order, each once; `_other` last where queues overflow."""
        return tuple(dict.fromkeys([*self._labels.values(), *([OTHER] if self.overflow else [])]))
