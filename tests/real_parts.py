"""Parts that tests need and Python packages do not bring: their absence skips, or fails where REQUIRE_REAL=1."""

from __future__ import annotations

import os

import pytest


def need(name: str, found: bool, hint: str) -> None:
    """Go on where the part was `found`. Else skip the test with the reason and the command that would bring the part
    (`hint`), or fail it where REQUIRE_REAL=1 is set, as in CI. Call it from a test or a fixture."""
    if found:
        return
    reason = f"{name} is missing. To bring it: {hint}"
    if os.environ.get("REQUIRE_REAL") == "1":
        pytest.fail(f"{reason} (REQUIRE_REAL=1 allows no skip)", pytrace=False)
    pytest.skip(reason)
