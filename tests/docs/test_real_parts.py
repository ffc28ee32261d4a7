"""A missing part skips with the command that brings it, and fails where no skip is allowed."""

from __future__ import annotations

import pytest
from _pytest.outcomes import Failed, Skipped
from real_parts import need


def test_a_part_that_is_there_is_no_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUIRE_REAL", "1")
    need("mongod", True, "pip install mongod")


def test_a_missing_part_skips_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REQUIRE_REAL", raising=False)
    with pytest.raises(Skipped, match=r"mongod is missing. To bring it: pip install mongod"):
        need("mongod", False, "pip install mongod")


def test_where_real_parts_are_required_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUIRE_REAL", "1")
    with pytest.raises(Failed, match="REQUIRE_REAL=1 allows no skip"):
        need("mongod", False, "pip install mongod")
