"""What workers keep of providers: text that was paid for, and how much may be asked for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PageText:
    """What was read of one page, and how sure the reader is (0..1). `source` names the reader."""

    text: str
    confidence: float
    source: str = ""


@dataclass(frozen=True, slots=True)
class Allowance:
    """The most calls and tokens that may be asked of all providers together, in one job or on one day."""

    calls: int
    tokens: int
